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
		s = s[strings.LastIndexByte(before(s, "/?"+never), '@')+1:]
		u := before(s, "?',;)"+never)
		b.WriteString(u)
		if s = s[len(u):]; strings.HasPrefix(s, "?") {
			query := before(s, never)
			b.WriteString("?...")
			if strings.HasSuffix(query, ":") { // "URL: what is wrong"
				b.WriteString(":")
			}
			s = s[len(query):]
		}
	}
}

// never are what no URL holds. A comma and the like may end one in a sentence, or
// stand in a password or a signature.
const never = " \t\n\"<>`"

// before is s up to the first of chars.
func before(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}
