// Package store reads and writes files by path or by URL. A plain path, or a
// file:// URL, is the operating system's. s3://, gs:// and azblob:// name an
// object in a bucket: reads are ranged, pinned to the version that was opened
// and tried again when they break; an object that is written appears whole or
// not at all.
package store

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"eaft/internal/cli"
)

// options are what a URL may say after its question mark, by scheme. None is a
// secret: credentials come from where each provider's own tools take them.
var options = map[string][]string{
	"s3":     {"region", "endpoint", "use_path_style", "profile", "anonymous", "disable_https"},
	"gs":     {"anonymous", "universe_domain"},
	"azblob": {"storage_account", "domain", "protocol", "localemu"},
}

// location is an object or a prefix of a bucket.
type location struct {
	scheme, bucket, key string // key has no slash at either end
	query               string // as given
}

func (l location) String() string {
	s := l.scheme + "://" + l.bucket
	if l.key != "" {
		s += "/" + l.key
	}
	if l.query != "" {
		s += "?" + l.query
	}
	return s
}

// IsURL reports whether name is in a bucket, so not a path of this machine.
func IsURL(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	return ok && options[scheme] != nil
}

// split takes a URL apart without judging it.
func split(name string) location {
	scheme, rest, _ := strings.Cut(name, "://")
	rest, query, _ := strings.Cut(rest, "?")
	bucket, key, _ := strings.Cut(rest, "/")
	return location{scheme, bucket, strings.Trim(key, "/"), query}
}

// parse is the location that a URL names, or an error of wrong use that repeats
// nothing of it that could be secret.
func parse(name string) (location, error) {
	l := split(name)
	bare := location{scheme: l.scheme, bucket: l.bucket, key: l.key}.String()
	switch {
	case strings.Contains(l.bucket, "@"):
		bare = location{scheme: l.scheme, bucket: l.bucket[strings.LastIndexByte(l.bucket, '@')+1:], key: l.key}.String()
		return l, cli.Usagef("%s: a URL must not carry credentials; set them in the environment (docs/storage.md)", bare)
	case l.bucket == "":
		return l, cli.Usagef("%s: the bucket is missing, as in %s://BUCKET/FOLDER", bare, l.scheme)
	}
	q, err := url.ParseQuery(l.query)
	if err != nil {
		return l, cli.Usagef("%s: what follows the question mark is not name=value&name=value", bare)
	}
	for name, values := range q {
		if !slices.Contains(options[l.scheme], name) {
			return l, cli.Usagef("%s: %s:// has no option %q; there are %s (docs/storage.md)", bare, l.scheme, name, strings.Join(options[l.scheme], ", "))
		}
		if u, err := url.Parse(values[0]); name == "endpoint" && (err != nil || u.User != nil || u.RawQuery != "") {
			return l, cli.Usagef("%s: endpoint is no plain URL of a server, such as http://127.0.0.1:9000", bare)
		}
	}
	return l, nil
}

// Local turns a file:// URL into a path; other names stay.
func Local(name string) string {
	if rest, ok := strings.CutPrefix(name, "file://"); ok {
		rest = strings.TrimPrefix(rest, "localhost")
		if p, err := url.PathUnescape(rest); err == nil {
			rest = p
		}
		return filepath.FromSlash(rest)
	}
	return name
}

// Abs is a name that means the same in every working directory.
func Abs(name string) (string, error) {
	if IsURL(name) {
		return name, nil
	}
	return filepath.Abs(Local(name))
}

// Join adds elements, which may hold slashes and dots, to a folder.
func Join(dir string, elem ...string) string {
	if !IsURL(dir) {
		return filepath.Join(append([]string{Local(dir)}, elem...)...)
	}
	l := split(dir)
	l.key = strings.TrimPrefix(path.Join(append([]string{"/", l.key}, elem...)...), "/")
	return l.String()
}

// Base is the last element of a name.
func Base(name string) string {
	if !IsURL(name) {
		return filepath.Base(Local(name))
	}
	return path.Base(split(name).key)
}

// Dir is all but the last element of a name.
func Dir(name string) string {
	if !IsURL(name) {
		return filepath.Dir(Local(name))
	}
	return Join(name, "..")
}

// Resolve is the folder that a manifest in dir means by name: a relative path
// with slashes, or a name of its own.
func Resolve(dir, name string) string {
	if IsURL(name) || filepath.IsAbs(name) {
		return name
	}
	return Join(dir, filepath.FromSlash(name))
}

// Rel is the way from one folder to another, with slashes, for Resolve. Between
// two buckets, or from a folder to a bucket, it is the target's URL without its
// options; from a bucket to a folder of this machine there is none, and it is "".
func Rel(from, to string) (string, error) {
	switch f, t := split(from), split(to); {
	case !IsURL(from) && !IsURL(to):
		a, err := Abs(from)
		if err != nil {
			return "", err
		}
		b, err := Abs(to)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(a, b)
		return filepath.ToSlash(rel), err
	case !IsURL(to):
		return "", nil
	case IsURL(from) && f.scheme == t.scheme && f.bucket == t.bucket && f.query == t.query:
		rel, err := filepath.Rel("/"+f.key, "/"+t.key)
		return filepath.ToSlash(rel), err
	default:
		t.query = ""
		return t.String(), nil
	}
}

// Same reports whether two names of folders are spelled alike; symbolic links
// are the caller's matter.
func Same(a, b string) bool {
	if IsURL(a) != IsURL(b) {
		return false
	}
	if IsURL(a) {
		x, y := split(a), split(b)
		return x.scheme == y.scheme && x.bucket == y.bucket && path.Clean("/"+x.key) == path.Clean("/"+y.key)
	}
	return filepath.Clean(Local(a)) == filepath.Clean(Local(b))
}

// errOf names an object in an error.
func (l location) errOf(err error) error {
	l.query = ""
	return fmt.Errorf("%s: %w", l, err)
}
