// Package s3test gives tests a real S3 server, and a proxy before it that fails
// as networks and stores do.
package s3test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Bucket is the bucket that every server has.
const Bucket = "bucket"

const key, secret = "testkey", "testsecret123456"

// Server is an S3 server with one bucket, whose objects are files.
type Server struct {
	Endpoint string // http://127.0.0.1:PORT
	Dir      string // the bucket as a folder: what stands in it is what is visible
}

// Start runs versitygw (github.com/versity/versitygw) until the test ends. The
// test is skipped unless EAFT_VERSITYGW names the program; make test-s3 builds it.
func Start(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("EAFT_VERSITYGW")
	if program == "" {
		t.Skip("EAFT_VERSITYGW names no S3 server; make test-s3")
	}
	root := t.TempDir()
	for _, dir := range []string{"data/" + Bucket, "meta"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	log, err := os.Create(filepath.Join(root, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", addr, "posix", "--sidecar", filepath.Join(root, "meta"), filepath.Join(root, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+key, "ROOT_SECRET_KEY="+secret)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
	})
	s := &Server{Endpoint: "http://" + addr, Dir: filepath.Join(root, "data", Bucket)}
	for range 200 {
		r, err := http.Get(s.Endpoint)
		if err == nil {
			r.Body.Close()
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer:\n%s", program, said)
	return nil
}

// URL is that of a folder in the bucket.
func URL(folder string) string { return "s3://" + Bucket + "/" + folder }

// Env is what a program must have in its environment to reach an endpoint, which
// is the server's or that of a proxy before it.
func Env(endpoint string) []string {
	return []string{"AWS_ENDPOINT_URL_S3=" + endpoint, "AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_REGION=us-east-1"}
}

// Setenv does so for this process.
func Setenv(t *testing.T, endpoint string) {
	for _, kv := range Env(endpoint) {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

// Flip changes one bit in the middle of a stored object, behind the server's back.
func (s *Server) Flip(name string) error {
	path := filepath.Join(s.Dir, filepath.FromSlash(name))
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return fmt.Errorf("%s is empty", path)
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(path, data, 0o666)
}

// Objects are the contents of all objects below a folder, by their names in it.
func (s *Server) Objects(folder string) (map[string]string, error) {
	out := map[string]string{}
	root := filepath.Join(s.Dir, filepath.FromSlash(folder))
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	return out, err
}
