package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/internal/s3test"
)

// large is an object of three parts, and more than one block.
func large() []byte {
	data := make([]byte, 2*partSize+777)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	return data
}

// TestServer runs on servers of its own, one for each protocol, or in a bucket of
// any provider: EAFT_S3=s3://BUCKET/FOLDER, and what the URL's scheme wants in the
// environment.
func TestServer(t *testing.T) {
	if folder := os.Getenv("EAFT_S3"); folder != "" {
		onServer(t, folder)
		return
	}
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			s.Setenv(t, s.Endpoint)
			forgetBuckets(t)
			onServer(t, s.At(s.Endpoint, "x"))
		})
	}
}

func onServer(t *testing.T, folder string) {
	folder = Join(folder, "store-test")
	t.Cleanup(func() { RemoveAll(folder) })
	for name, test := range map[string]func(t *testing.T, folder string){
		"round trip": func(t *testing.T, folder string) { roundTrip(t, folder, large()) },
		"versions":   versions,
		"create":     createOnce,
		"pages":      pages,
		"names":      oddNames,
		"absent":     absent,
		"no bucket":  noBucket,
	} {
		t.Run(name, func(t *testing.T) { test(t, Join(folder, strings.ReplaceAll(name, " ", "-"))) })
	}
}

// versions: what was opened is read, or an error; also of objects that are alike in
// size and were written within a second.
func versions(t *testing.T, folder string) {
	name := Join(folder, "x")
	for _, size := range []int{3, 2*partSize + 1} {
		one, two := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)
		if err := WriteFile(name, one); err != nil {
			t.Fatal(err)
		}
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		before, err := Stamp(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(name, two); err != nil {
			t.Fatal(err)
		}
		if after, err := Stamp(name); err != nil || after == before {
			t.Errorf("%d bytes: two versions have the stamp %q, %v", size, after, err)
		}
		if _, err := f.ReadAt(make([]byte, 2), int64(size-2)); err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("%d bytes, ReadAt: %v", size, err)
		}
		if _, err := io.ReadAll(f); err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("%d bytes, Read: %v", size, err)
		}
		if got, err := ReadFile(name); err != nil || !bytes.Equal(got, two) {
			t.Errorf("%d bytes: %d are read, %v", size, len(got), err)
		}
	}
}

// oddNames: an object is found by its name, and listed by it, whatever that has in it
// but a question mark, which begins a URL's options.
func oddNames(t *testing.T, folder string) {
	if !strings.HasPrefix(folder, "s3://") {
		t.Skip("tried with S3 only")
	}
	names := []string{"a b.jsonl", "a%20b", "a+b", "\u00e4/\u00f6.jsonl", "a\u0308", "#x#", "x&y=z;w", "'q' \"r\"", "[1].jsonl", "*.jsonl", "~", "a\\b", "a:b@c", "\u65e5\u672c/\U0001f600", "{x},(y)!", "<z>|^`", "%2F", "%", ".hidden", "a..b", "x.", "-x", "\t\n\x01"}
	for _, name := range names {
		full := Join(folder, name)
		if err := WriteFile(full, []byte(name)); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		data, err := ReadFile(full)
		if st, e := Stat(full); err != nil || e != nil || string(data) != name || st.Size != int64(len(name)) {
			t.Errorf("%q: %q, %+v, %v, %v", name, data, st, err, e)
		}
		if entries, err := ReadDir(Dir(full)); err != nil || !slices.Contains(entries, Entry{Base(full), false}) {
			t.Errorf("%q is not in %v, %v", name, entries, err)
		}
		if made, err := CreateNew(full, nil); made || err != nil {
			t.Errorf("%q is made again: %v", name, err)
		}
	}
	var got []string
	if err := Walk(folder, func(name string, size int64) {
		if size != int64(len(name)) {
			t.Errorf("%q has %d bytes", name, size)
		}
		got = append(got, name)
	}); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("Walk: %q", got)
	}
	escape := strings.NewReplacer("*", `\*`, "[", `\[`, `\`, `\\`)
	for _, name := range names {
		pattern := escape.Replace(name)
		if pattern == name {
			continue // is no pattern
		}
		if found, err := Glob(Join(folder, pattern)); err != nil || !slices.Equal(found, []string{Join(folder, name)}) {
			t.Errorf("Glob %q: %q, %v", pattern, found, err)
		}
	}
	if err := RemoveAll(folder); err != nil {
		t.Error(err)
	}
	if _, err := ReadDir(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("RemoveAll left something: %v", err)
	}
}

// createOnce: of many that create an object at once one does, and whoever comes
// later does not.
func createOnce(t *testing.T, folder string) {
	for round := range 4 {
		name := Join(folder, fmt.Sprint(round))
		var made [16]bool
		var wg sync.WaitGroup
		for i := range made {
			wg.Go(func() {
				var err error
				if made[i], err = CreateNew(name, []byte{byte(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		have, err := ReadFile(name)
		if err != nil || len(have) != 1 {
			t.Fatal(have, err)
		}
		for i, ok := range made {
			if ok != (byte(i) == have[0]) {
				t.Errorf("round %d: %d made the object: %v; it is of %d", round, i, ok, have[0])
			}
		}
		if again, err := CreateNew(name, []byte("later")); err != nil || again {
			t.Errorf("round %d: made again: %v, %v", round, again, err)
		}
		if err := WriteFile(name, []byte("over it")); err != nil { // as a holder of a claim does
			t.Error(err)
		}
	}
}

// pages: more objects than one answer lists.
func pages(t *testing.T, folder string) {
	const n = 1100
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := worker; i < n; i += 16 {
				if err := WriteFile(Join(folder, fmt.Sprintf("%d/%04d", i%2, i)), []byte{1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	keys, err := Keys(folder)
	if err != nil || len(keys) != n || !slices.IsSorted(keys) || keys[0] != "0/0000" || keys[n-1] != "1/1099" {
		t.Errorf("%d keys, sorted %v, %v", len(keys), slices.IsSorted(keys), err)
	}
	if entries, err := ReadDir(folder); err != nil || !slices.Equal(entries, []Entry{{"0", true}, {"1", true}}) {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	if found, err := Glob(Join(folder, "*/*0")); err != nil || len(found) != n/10 {
		t.Errorf("%d names end in 0, %v", len(found), err)
	}
	if err := RemoveAll(folder); err != nil {
		t.Error(err)
	}
	if keys, err := Keys(folder); err != nil || len(keys) > 0 {
		t.Errorf("%d keys are left, %v", len(keys), err)
	}
}

// noBucket: the error of a write says what is missing.
func noBucket(t *testing.T, folder string) {
	l := split(folder)
	l.bucket += "-that-is-not-there"
	err := WriteFile(Join(l.String(), "x"), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "there is no such bucket") {
		t.Errorf("the error is %v", err)
	}
}

// absent: what is not there is said to be not there, by every function; a prefix
// of a name is none, and an object of no bytes is there.
func absent(t *testing.T, folder string) {
	if err := WriteFile(Join(folder, "empty"), nil); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(Join(folder, "empty")); err != nil || len(data) > 0 {
		t.Error(data, err)
	}
	for _, name := range []string{"no", "emp", "empty/x"} {
		name = Join(folder, name)
		_, open := Open(name)
		_, stat := Stat(name)
		_, dir := ReadDir(name)
		_, stamp := Stamp(name)
		for what, err := range map[string]error{"Open": open, "Stat": stat, "ReadDir": dir, "Stamp": stamp, "Remove": Remove(name)} {
			// Removing what is not there is no error on S3.
			if !errors.Is(err, fs.ErrNotExist) && !(what == "Remove" && err == nil) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
	}
	if st, err := Stat(folder); err != nil || !st.Dir {
		t.Errorf("the folder: %+v, %v", st, err)
	}
}

// forgetBuckets makes the next request open its bucket anew, from the environment.
func forgetBuckets(t *testing.T) {
	clear := func() {
		buckets.Lock()
		buckets.open = nil
		buckets.Unlock()
	}
	clear()
	t.Cleanup(clear)
}

// roundTrip writes an object, and reads it in every way.
func roundTrip(t *testing.T, folder string, data []byte) {
	t.Helper()
	name := Join(folder, "large")
	if err := WriteFile(name, data); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
	}
	for _, at := range []int{0, partSize - 50, len(data) - 100} {
		p := make([]byte, 100)
		if _, err := f.ReadAt(p, int64(at)); err != nil || !bytes.Equal(p, data[at:][:100]) {
			t.Fatal(at, err)
		}
	}
	if entries, err := ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name != "large" {
		t.Fatal(entries, err)
	}
	if err := Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // removed by a request whose answer was lost
		t.Fatal(err)
	}
	if _, err := Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// Whatever a quarter of the requests meets, what is written is what is read, and
// nothing else stands in the bucket.
func TestFaults(t *testing.T) {
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			s.Setenv(t, s.Endpoint)
			forgetBuckets(t)
			for name, f := range map[string]s3test.Fault{"500": 500, "503": 503, "429": 429,
				"reset": s3test.Reset, "lost": s3test.Lost, "cut": s3test.Cut, "slow": s3test.Slow} {
				t.Run(name, func(t *testing.T) {
					if kind == "s3" {
						t.Parallel()
					}
					faulty(t, s, kind, name, f)
				})
			}
		})
	}
}

// TestStalled is TestFaults of requests that stand still.
func TestStalled(t *testing.T) {
	was := stall
	stall = 3 * time.Second
	t.Cleanup(func() { stall = was })
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			s.Setenv(t, s.Endpoint)
			forgetBuckets(t)
			faulty(t, s, kind, "stalled", s3test.Stall)
		})
	}
}

// faulty makes a round trip while a share of the requests meets a fault.
func faulty(t *testing.T, s *s3test.Server, kind, name string, f s3test.Fault) {
	decide := s3test.Share(4, f)
	if kind == "gs" {
		decide = spared(f)
	}
	p := s3test.Through(t, s, decide)
	if kind == "gs" {
		s.Setenv(t, p.Endpoint)
		forgetBuckets(t)
	}
	roundTrip(t, s.At(p.Endpoint, name), large())
	if n := p.Done()[f]; n < 2 {
		t.Errorf("%d faults", n)
	}
	if left, err := s.Objects(name); err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
		t.Errorf("%d objects are left, %v", len(left), err)
	}
}

// spared spares the server what it does otherwise than Google's: a chunk that is
// sent again, since its answer was lost, it appends once more, where Google's
// drops the bytes that it has. As its library sends a large object in four
// requests, of which none may stand still, fewer do.
func spared(f s3test.Fault) func(int, *http.Request) s3test.Fault {
	decide := s3test.Share(4, f)
	if f == s3test.Stall {
		decide = s3test.Share(8, f)
	}
	return func(n int, r *http.Request) s3test.Fault {
		if r.URL.Query().Has("upload_id") && (f == s3test.Lost || f == s3test.Cut) {
			return s3test.None
		}
		return decide(n, r)
	}
}

// A refusal is neither something missing nor something that may be over: it ends
// the operation at once, and the error says that it is one.
func TestRefused(t *testing.T) {
	for kind, start := range s3test.Kinds {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			p := s3test.Through(t, s, func(int, *http.Request) s3test.Fault { return http.StatusForbidden })
			s.Setenv(t, p.Endpoint)
			forgetBuckets(t)
			name := Join(s.At(p.Endpoint, "refused"), "x")
			_, open := Open(name)
			_, list := Keys(name)
			_, create := CreateNew(name, nil)
			for what, err := range map[string]error{"Open": open, "Keys": list, "CreateNew": create, "WriteFile": WriteFile(name, large())} {
				var away interface{ Unavailable() }
				if err == nil || errors.Is(err, fs.ErrNotExist) || errors.As(err, &away) || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", what, err)
				}
			}
			t.Logf("%v, after %d requests", open, p.Done()[http.StatusForbidden])
		})
	}
}

// Of a store that stays away the error names the object and what to do, the exit
// code is that of a failure that may be over, and no part of an object is visible.
func TestAway(t *testing.T) {
	s := s3test.Start(t)
	s3test.Setenv(t, s.Endpoint) // the credentials; each URL says its endpoint
	for name, away := range map[string]func(r *http.Request) s3test.Fault{
		"all": func(*http.Request) s3test.Fault { return 503 },
		"after the first part": func(r *http.Request) s3test.Fault {
			if q := r.URL.Query(); r.Method == http.MethodPut && q.Get("partNumber") != "1" || r.Method == http.MethodPost && q.Has("uploadId") {
				return s3test.Reset
			}
			return s3test.None
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s3test.Through(t, s, func(_ int, r *http.Request) s3test.Fault { return away(r) })
			url := fmt.Sprintf("%s?endpoint=%s", s3test.URL("away"), p.Endpoint)
			err := WriteFile(Join(url, "x"), large())
			if cli.Code(err) != cli.ExitFailed || !strings.Contains(err.Error(), s3test.URL("away/x")) || !strings.Contains(err.Error(), "run the same command again when the store answers") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if left, err := s.Objects("away"); err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
			t.Errorf("%d objects are visible, %v", len(left), err)
		}
	})
}

// What the store refuses, and a bucket that is not there, are said at once, with a
// remedy.
func TestServerRefuses(t *testing.T) {
	s := s3test.Start(t)
	s3test.Setenv(t, s.Endpoint)
	forgetBuckets(t)
	none := "s3://no-such-bucket/x"
	_, list := ReadDir(none)
	_, create := CreateNew(none, []byte("x"))
	for what, err := range map[string]error{"list": list, "create": create, "write": WriteFile(none, []byte("x"))} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is no such bucket") {
			t.Errorf("%s in a bucket that is not there: %v", what, err)
		}
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-it")
	forgetBuckets(t)
	name := s3test.URL("x")
	began := time.Now()
	_, list = ReadDir(name)
	_, create = CreateNew(name, []byte("x"))
	_, open := Stat(name)
	for what, err := range map[string]error{"list": list, "create": create, "open": open, "write": WriteFile(name, []byte("x"))} {
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "the store refuses it; look after the credentials") {
			t.Errorf("%s with a wrong secret: %v", what, err)
		}
	}
	if d := time.Since(began); d > firstPause*8 {
		t.Errorf("it was tried for %v", d)
	}
}
