package cli

import "testing"

func TestRedact(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"tok: no such folder?", "tok: no such folder?"},
		{"s3://bucket/tok: not there", "s3://bucket/tok: not there"},
		{"s3://bucket/tok?region=x: not there", "s3://bucket/tok?...: not there"},
		{`Get "https://me:pw@host/c?sig=abc&se=1": refused`, `Get "https://host/c?...": refused`},
		{"s3://key:secret@bucket/tok and s3://b/c?a=b", "s3://bucket/tok and s3://b/c?..."},
		{"s3://b/a@b", "s3://b/a@b"},
		{"s3://key:se,c;r)e't@bucket/tok, (s3://b), x@y", "s3://bucket/tok, (s3://b), x@y"},
		{"see https://host/c?sig=a,b;c)d: refused", "see https://host/c?...: refused"},
	} {
		if got := Redact(c.in); got != c.want {
			t.Errorf("Redact(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
