package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"eaft/internal/cli"
)

const asked = `{"messages":[{"role":"user","content":"Hi"}]}` + "\n"

// Compressed lines are rendered as the plain ones are, from files and standard input.
func TestRenderCompressed(t *testing.T) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte(asked))
	w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	renders := func(in []byte, args ...string) (string, error) {
		var out bytes.Buffer
		err := render(context.Background(), append([]string{"--model", "demo"}, args...), cli.IO{In: bytes.NewReader(in), Out: &out, Err: io.Discard})
		return out.String(), err
	}
	want, err := renders([]byte(asked))
	if err != nil || !bytes.Contains([]byte(want), []byte("Hi")) {
		t.Fatalf("%q, %v", want, err)
	}
	for name, data := range map[string][]byte{"gzip": gz.Bytes(), "zstd": z.EncodeAll([]byte(asked), nil)} {
		path := filepath.Join(t.TempDir(), "chats")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := renders(nil, path); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if got, err := renders(data); err != nil || got != want {
			t.Errorf("%s from standard input: %q, %v", name, got, err)
		}
		if got, err := renders(data[:len(data)-5]); err == nil {
			t.Errorf("%s that is cut off: %q", name, got)
		}
		if got, err := renders(data[:6]); err == nil {
			t.Errorf("%s that is cut off in its header: %q", name, got)
		}
	}
}

// A short line that somebody types is answered before the next one is.
func TestRenderAnswersEachLine(t *testing.T) {
	in, typed := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- render(context.Background(), []string{"--model", "demo"}, cli.IO{In: in, Out: out, Err: io.Discard})
		out.Close()
	}()
	for range 2 {
		io.WriteString(typed, "{}\n")
		answer := make([]byte, 1<<10)
		if n, err := answers.Read(answer); err != nil || !bytes.HasPrefix(answer[:n], []byte(`{"error":`)) {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	typed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
