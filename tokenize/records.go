package tokenize

import (
	"bufio"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// EachRecord calls f with every record of a file in order, as JSON: of JSON
// lines, a JSON array, an object of records, in which key is the record's own (as
// JSON), CSV or Parquet, gzip and zstd too. The bytes are f's until it returns.
func EachRecord(path string, f func(key, raw []byte) error) error {
	s := &source{path: path, name: filepath.Base(path)}
	return s.each(nil, f)
}

// Unpack is the text of what may be compressed with gzip or zstd. Of what is not it
// waits for the first byte only, as somebody may be typing it. Close leaves packed
// open.
func Unpack(packed io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(packed, 1<<18)
	magic, _ := b.Peek(1)
	if len(magic) > 0 && (magic[0] == magicGzip[0] || magic[0] == magicZstd[0]) {
		magic, _ = b.Peek(len(magicZstd))
	}
	r, _, err := unpack(b, magic)
	if err != nil {
		return nil, err
	}
	if z, ok := r.(*zstd.Decoder); ok {
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// ReadText reads a text, plain or in gzip or zstd, of at most limit bytes.
func ReadText(path string, limit int64) (string, error) {
	f, err := store.Open(path)
	if err != nil {
		return "", &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer f.Close()
	r, err := Unpack(f)
	if err != nil {
		return "", cli.Usagef("%s: %w", path, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return "", cli.Usagef("%s: %w", path, err)
	case int64(len(data)) > limit:
		return "", cli.Usagef("%s is larger than %d MiB: cut it", path, limit>>20)
	}
	return string(data), nil
}
