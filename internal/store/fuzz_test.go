package store

import (
	"strings"
	"testing"

	"eaft/internal/bound"
)

// FuzzURL: a name is refused or taken apart; adding to a folder never changes the
// bucket, and what Rel gives, Resolve finds again.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"s3://b/x/y?region=eu", "gs://b", "azblob://c/x/../y?domain=d", "s3://user:secret@b/x", "file:///a%20b", "file://localhost/x",
		"s3://b/x?endpoint=http://u:p@h", "s3://", "/a/../b", "s3://b//x//", "gs://b/x?anonymous=true&anonymous=1", "s3://b/%zz?%zz"} {
		f.Add(s, "s3://b/x/z", "c/../d")
	}
	f.Add("a/b", "a/c", "..")
	f.Fuzz(func(t *testing.T, a, b, elem string) {
		bound.Memory(t, len(a)+len(b)+len(elem))
		l, err := parse(a)
		if user, host, ok := strings.Cut(l.bucket, "@"); ok && len(user) > 8 && !strings.Contains(host+l.key+l.scheme, user) && (err == nil || strings.Contains(err.Error(), user)) {
			t.Fatalf("%q: the error repeats credentials: %v", a, err)
		}
		Base(a)
		Dir(a)
		elem = strings.ReplaceAll(elem, "?", "") // what follows one is an option, of which parse judges
		joined := Join(a, elem)
		if j := split(joined); IsURL(a) && (!IsURL(joined) || j.bucket != l.bucket || j.query != l.query || strings.HasPrefix(j.key+"/", "../")) {
			t.Fatalf("%q and %q make %q", a, elem, joined)
		}
		rel, err := Rel(a, b)
		if err != nil || rel == "" || IsURL(a) != IsURL(b) || strings.ContainsAny(a+b, "\\") {
			return
		}
		if !Same(Resolve(a, rel), b) && !same(t, Resolve(a, rel), b) {
			t.Fatalf("from %q to %q is %q, which leads to %q", a, b, rel, Resolve(a, rel))
		}
	})
}

// same compares paths of this machine whatever they start at.
func same(t *testing.T, a, b string) bool {
	rel, err := Rel(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return rel == "."
}
