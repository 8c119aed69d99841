// Package hubtest is a Hugging Face Hub for tests, as huggingface_hub asks one
// (internal/hub's TestPython): small files are answered, large ones redirected to
// another host.
package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Repo is the model that a Server has.
const Repo = "Org/Tiny"

// Server has one model. Its fields may be changed between requests.
type Server struct {
	Token string                           // needed; "": none
	Asked []string                         // method and path of each request; of the other host "cdn" and the range
	Fail  func(n int, r *http.Request) int // status of the nth answer; 0: as it should be
	Still int                              // answers of the other host that stand still after some bytes
	Whole bool                             // the other host knows no ranges
	Cut   int                              // bytes after which an answer of the other host breaks off; 0: never
	Flip  bool                             // a bit of what the other host answers

	t        testing.TB
	hub, cdn *httptest.Server
	mu       sync.Mutex
	refs     map[string]string            // revision to commit
	commits  map[string]map[string][]byte // commit to files
}

// Large is the size from which files are stored elsewhere.
const Large = 1000

// New starts a Server, sets HF_ENDPOINT to it and HF_HOME to an empty folder, and takes
// away what else of the environment is the Hub's.
func New(t testing.TB) *Server {
	s := &Server{t: t, refs: map[string]string{}, commits: map[string]map[string][]byte{}}
	s.hub = httptest.NewServer(http.HandlerFunc(s.answer))
	s.cdn = httptest.NewServer(http.HandlerFunc(s.bytes))
	t.Cleanup(func() { s.hub.Close(); s.cdn.Close() })
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(name, "") // which puts back what it was
		os.Unsetenv(name)
	}
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_ENDPOINT", s.hub.URL)
	return s
}

// Close takes the Hub away.
func (s *Server) Close() { s.hub.Close() }

// Commit makes files the model's at a revision, and returns the commit.
func (s *Server) Commit(revision string, files map[string][]byte) string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha1.New()
	for _, name := range names {
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(files[name]))
	}
	c := hex.EncodeToString(h.Sum(nil))
	s.refs[revision], s.refs[c], s.commits[c] = c, c, files
	return c
}

func etagOf(data []byte) string {
	if len(data) < Large {
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00%s", len(data), data)
		return hex.EncodeToString(h.Sum(nil))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Asked = append(s.Asked, r.Method+" "+r.URL.Path)
	no := func(status int, code string) {
		w.Header().Set("X-Error-Code", code)
		w.WriteHeader(status)
	}
	if s.Fail != nil {
		if status := s.Fail(len(s.Asked), r); status != 0 {
			no(status, "")
			return
		}
	}
	if s.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.Token {
		no(http.StatusUnauthorized, "GatedRepo")
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api/models/"+Repo+"/revision/"); ok {
		c, ok := s.refs[rest]
		if !ok {
			no(http.StatusNotFound, "RevisionNotFound")
			return
		}
		var files []map[string]any
		for name, data := range s.commits[c] {
			f := map[string]any{"rfilename": name, "size": len(data), "blobId": etagOf(data)}
			if len(data) >= Large {
				f["lfs"] = map[string]any{"sha256": etagOf(data), "size": len(data), "pointerSize": 130}
			}
			files = append(files, f)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"id": Repo, "sha": c, "private": false, "gated": false, "disabled": false, "downloads": 0, "likes": 0, "tags": []string{}, "siblings": files})
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/"+Repo+"/resolve/")
	if !ok {
		no(http.StatusUnauthorized, "")
		return
	}
	revision, name, _ := strings.Cut(rest, "/")
	c, ok := s.refs[revision]
	if !ok {
		no(http.StatusNotFound, "RevisionNotFound")
		return
	}
	w.Header().Set("X-Repo-Commit", c)
	data, ok := s.commits[c][name]
	if !ok {
		no(http.StatusNotFound, "EntryNotFound")
		return
	}
	if len(data) < Large {
		w.Header().Set("ETag", `"`+etagOf(data)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		return
	}
	w.Header().Set("X-Linked-Etag", `"`+etagOf(data)+`"`)
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(data)))
	w.Header().Set("ETag", `W/"of the redirection"`)
	http.Redirect(w, r, s.cdn.URL+"/"+c+"/"+name, http.StatusFound)
}

func (s *Server) bytes(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "" {
		s.t.Error("another host was told the token")
	}
	s.Asked = append(s.Asked, r.Method+" cdn "+r.Header.Get("Range"))
	c, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	data := s.commits[c][name]
	if s.Flip {
		data = bytes.Clone(data)
		data[len(data)/2] ^= 1
	}
	if s.Whole {
		r.Header.Del("Range")
	}
	if s.Still > 0 {
		s.Still--
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	if s.Cut > 0 {
		w = &cutWriter{w, s.Cut}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// cutWriter breaks the connection off after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		c.ResponseWriter.Write(b[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}
