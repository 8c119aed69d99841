package tokenize

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"eaft/internal/cli"
)

func TestReadText(t *testing.T) {
	const text = "First.\nSecond.\n"
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte(text))
	w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "text")
	for name, data := range map[string][]byte{"plain": []byte(text), "gzip": gz.Bytes(), "zstd": z.EncodeAll([]byte(text), nil)} {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadText(path, int64(len(text))); err != nil || got != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := ReadText(path, int64(len(text)-1)); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%s: one byte too long: %v", name, err)
		}
	}
	if got, err := ReadText("file://"+filepath.ToSlash(path), 1<<10); err != nil || got != text {
		t.Errorf("by URL: %q, %v", got, err)
	}
	if _, err := ReadText(path+"none", 1); cli.Code(err) != cli.ExitUsage {
		t.Errorf("no file: %v", err)
	}
}
