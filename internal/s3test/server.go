// Package s3test gives tests a real S3 server, servers that speak Google's and
// Azure's protocols, and a proxy before them that fails as networks and stores do.
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

	"gocloud.dev/blob"
)

// Bucket is the bucket that every server has.
const Bucket = "bucket"

const key, secret = "testkey", "testsecret123456"

// Server is a server with one bucket.
type Server struct {
	Endpoint string // http://127.0.0.1:PORT
	Dir      string // S3: the bucket as a folder, what stands in it is what is visible

	scheme string
	env    func(endpoint string) []string
	bucket *blob.Bucket // of the others
}

// Start runs versitygw (github.com/versity/versitygw) until the test ends. The
// test is skipped unless EAFT_VERSITYGW names the program.
func Start(t testing.TB) *Server {
	t.Helper()
	program := named(t, "EAFT_VERSITYGW")
	root, addr := t.TempDir(), free(t)
	for _, dir := range []string{"data/" + Bucket, "meta"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{Endpoint: "http://" + addr, Dir: filepath.Join(root, "data", Bucket), scheme: "s3", env: Env}
	serve(t, s.Endpoint, []string{"ROOT_ACCESS_KEY=" + key, "ROOT_SECRET_KEY=" + secret},
		program, "--port", addr, "posix", "--sidecar", filepath.Join(root, "meta"), filepath.Join(root, "data"))
	return s
}

// named is the program that a variable of the environment names.
func named(t testing.TB, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skipf("%s names no server; make test-s3 and make test-buckets install what there is", variable)
	}
	return program
}

// free is an address at which nothing listens.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve runs a server until the test ends, and waits until it answers.
func serve(t testing.TB, endpoint string, env []string, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
	})
	for range 400 {
		r, err := http.Get(endpoint)
		if err == nil {
			r.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer:\n%s", program, said)
}

// URL is that of a folder in the bucket of an S3 server.
func URL(folder string) string { return "s3://" + Bucket + "/" + folder }

// Env is Server.Env of an S3 server.
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
	if s.bucket != nil {
		return s.objects(folder)
	}
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
