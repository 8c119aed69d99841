package cli

import "strings"

// Redact takes out of a text what URLs may carry of secrets: user names and
// passwords before the host, and everything after a question mark, such as a
// signature.
func Redact(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i+3])
		s = s[i+3:]
		end := strings.IndexAny(s, " \t\n\"'<>`,;)")
		if end < 0 {
			end = len(s)
		}
		u := s[:end]
		s = s[end:]
		query := strings.IndexByte(u, '?')
		tail := ""
		if query >= 0 {
			tail = "?..."
			if strings.HasSuffix(u, ":") { // "URL: what is wrong"
				tail += ":"
			}
			u = u[:query]
		}
		host := len(u)
		if slash := strings.IndexByte(u, '/'); slash >= 0 {
			host = slash
		}
		if at := strings.LastIndexByte(u[:host], '@'); at >= 0 {
			u = u[at+1:]
		}
		b.WriteString(u + tail)
	}
}
