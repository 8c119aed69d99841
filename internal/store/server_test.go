package store

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// TestServer needs a bucket: EAFT_S3=s3://BUCKET/FOLDER, and what the URL's
// scheme wants in the environment; docs/storage.md says how to start a server.
func TestServer(t *testing.T) {
	folder := os.Getenv("EAFT_S3")
	if folder == "" {
		t.Skip("EAFT_S3 names no bucket")
	}
	folder = Join(folder, "store-test")
	defer RemoveAll(folder)
	data := make([]byte, 2*partSize+777) // three parts
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
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
	p := make([]byte, 100)
	if _, err := f.ReadAt(p, partSize-50); err != nil || !bytes.Equal(p, data[partSize-50:][:100]) {
		t.Fatal(err)
	}
	if entries, err := ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name != "large" {
		t.Fatal(entries, err)
	}
}
