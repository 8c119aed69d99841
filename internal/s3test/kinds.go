package s3test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"google.golang.org/api/option"
)

// Kinds start servers of every protocol of buckets, by the scheme of its URLs.
var Kinds = map[string]func(testing.TB) *Server{"s3": Start, "gs": google, "azblob": azure}

// google runs fake-gcs-server (github.com/fsouza/fake-gcs-server), which
// EAFT_FAKEGCS names.
func google(t testing.TB) *Server {
	t.Helper()
	program := named(t, "EAFT_FAKEGCS")
	root, addr := t.TempDir(), free(t)
	if err := os.Mkdir(filepath.Join(root, Bucket), 0o777); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(addr, ":")
	s := &Server{Endpoint: "http://" + addr, scheme: "gs", env: func(endpoint string) []string {
		return []string{"STORAGE_EMULATOR_HOST=" + strings.TrimPrefix(endpoint, "http://")}
	}}
	serve(t, s.Endpoint, nil, program, "-scheme", "http", "-host", host, "-port", port, "-public-host", host, "-filesystem-root", root, "-log-level", "error")
	client, err := storage.NewClient(context.Background(), option.WithEndpoint(s.Endpoint+"/storage/v1/"), option.WithoutAuthentication(), storage.WithJSONReads())
	if err != nil {
		t.Fatal(err)
	}
	if s.bucket, err = gcsblob.OpenBucket(context.Background(), nil, Bucket, &gcsblob.Options{Client: client}); err != nil {
		t.Fatal(err)
	}
	return s
}

// The account of every Azurite, and its key, are in its documentation.
const (
	account    = "devstoreaccount1"
	accountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// azure runs Azurite (npm's azurite), whose azurite-blob EAFT_AZURITE names.
func azure(t testing.TB) *Server {
	t.Helper()
	program := named(t, "EAFT_AZURITE")
	addr := free(t)
	host, port, _ := strings.Cut(addr, ":")
	s := &Server{Endpoint: "http://" + addr, scheme: "azblob", env: func(endpoint string) []string {
		return []string{"AZURE_STORAGE_ACCOUNT=" + account, "AZURE_STORAGE_KEY=" + accountKey,
			"AZURE_STORAGE_DOMAIN=" + strings.TrimPrefix(endpoint, "http://"), "AZURE_STORAGE_PROTOCOL=http"}
	}}
	// It knows fewer versions of the protocol than the library names.
	serve(t, s.Endpoint, nil, program, "--blobHost", host, "--blobPort", port, "--location", t.TempDir(), "--silent", "--disableTelemetry", "--skipApiVersionCheck")
	cred, err := container.NewSharedKeyCredential(account, accountKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(s.Endpoint+"/"+account+"/"+Bucket, cred, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if s.bucket, err = azureblob.OpenBucket(context.Background(), client, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL is that of a folder in the server's bucket.
func (s *Server) URL(folder string) string { return s.scheme + "://" + Bucket + "/" + folder }

// Env is what a program must have in its environment to reach an endpoint, which
// is the server's or that of a proxy before it.
func (s *Server) Env(endpoint string) []string { return s.env(endpoint) }

// Setenv does so for this process.
func (s *Server) Setenv(t *testing.T, endpoint string) {
	for _, kv := range s.Env(endpoint) {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
}

// At is the URL of a folder in the bucket at an endpoint, for a process that has
// more than one; Google's are told by the environment alone.
func (s *Server) At(endpoint, folder string) string {
	switch s.scheme {
	case "s3":
		return s.URL(folder) + "?endpoint=" + endpoint
	case "azblob":
		return s.URL(folder) + "?protocol=http&domain=" + strings.TrimPrefix(endpoint, "http://")
	}
	return s.URL(folder)
}

// Put makes an object, without code of ours.
func (s *Server) Put(name string, data []byte) error {
	if s.bucket != nil {
		return s.bucket.WriteAll(context.Background(), name, data, nil)
	}
	path := filepath.Join(s.Dir, filepath.FromSlash(name))
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, data, 0o666))
}

// objects reads all objects below a folder by the provider's library.
func (s *Server) objects(folder string) (map[string]string, error) {
	out := map[string]string{}
	for it := s.bucket.List(&blob.ListOptions{Prefix: folder + "/"}); ; {
		o, err := it.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		data, err := s.bucket.ReadAll(context.Background(), o.Key)
		if err != nil {
			return out, err
		}
		out[strings.TrimPrefix(o.Key, folder+"/")] = string(data)
	}
}
