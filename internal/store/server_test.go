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
	"strings"
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

// TestServer runs on a server of its own, or in a bucket of any provider:
// EAFT_S3=s3://BUCKET/FOLDER, and what the URL's scheme wants in the environment.
func TestServer(t *testing.T) {
	folder := os.Getenv("EAFT_S3")
	if folder == "" {
		s3test.Setenv(t, s3test.Start(t).Endpoint)
		folder = s3test.URL("x")
		forgetBuckets(t)
	}
	folder = Join(folder, "store-test")
	defer RemoveAll(folder)
	roundTrip(t, folder, large())
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
	s := s3test.Start(t)
	was := stall
	stall = 2 * time.Second
	t.Cleanup(func() { stall = was })
	s3test.Setenv(t, s.Endpoint) // the credentials; each URL says its endpoint
	data := large()
	for name, f := range map[string]s3test.Fault{"500": 500, "503": 503, "429": 429,
		"reset": s3test.Reset, "lost": s3test.Lost, "cut": s3test.Cut, "slow": s3test.Slow, "stall": s3test.Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s3test.Through(t, s, s3test.Share(4, f))
			roundTrip(t, fmt.Sprintf("%s?endpoint=%s", s3test.URL(name), p.Endpoint), data)
			if n := p.Done()[f]; n < 2 {
				t.Errorf("%d faults", n)
			}
			if left, err := s.Objects(name); err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
				t.Errorf("%d objects are left, %v", len(left), err)
			}
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
