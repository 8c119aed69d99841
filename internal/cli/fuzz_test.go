package cli

import (
	"slices"
	"strings"
	"testing"

	"eaft/internal/bound"
)

// FuzzFlags: sizes and numbers of shards are refused or in bounds, and nothing
// that Redact passes holds a user's name or a query.
func FuzzFlags(f *testing.F) {
	for _, s := range []string{"4GiB", "1e18", "1e400GB", "-1", "0x1p3KiB", "3/16", "1,2,2/4", "0/0", "-1/3", "s3://u:p@b/k?sig=x: no", "a://b?c://d@e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bound.Memory(t, len(s))
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Fatalf("%q is %d bytes", s, n)
		}
		if shards, n, err := ParseShards(s); err == nil && (len(shards) == 0 || shards[0] < 0 || slices.Max(shards) >= n) {
			t.Fatalf("%q is %v of %d", s, shards, n)
		}
		out := Redact(s)
		if again := Redact(out); again != out {
			t.Fatalf("%q is redacted to %q, and that to %q", s, out, again)
		}
		if i := strings.Index(out, "://"); i >= 0 {
			host, _, _ := strings.Cut(out[i+3:], "/")
			if host, _, _ = strings.Cut(host, " "); strings.Contains(host, "@") && !strings.ContainsAny(host, "\t\n\"'<>`,;)?") {
				t.Fatalf("%q is redacted to %q", s, out)
			}
		}
	})
}
