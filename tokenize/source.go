package tokenize

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// source is an input file.
type source struct {
	path, name string // name: what its rows are known by
	records    int64
	size       int64  // of the records in bytes, as JSON
	first      int64  // number of its first record in all inputs
	hash       string // of the file's bytes
	container  string // for people: "JSON Lines", "CSV" ...
	layout     *layout
}

// survey reads the file once: how many records, which content, and what layout
// the records have.
func (s *source) survey(m mapping) error {
	h := sha256.New()
	var d detector
	err := s.each(h, func(_, raw []byte) error {
		if s.records < detectRecords {
			d.see(raw, m)
		}
		s.records++
		s.size += int64(len(raw))
		return nil
	})
	if err != nil {
		return err
	}
	if s.records == 0 {
		return cli.Usagef("%s: the file has no record", s.path)
	}
	s.hash = hex.EncodeToString(h.Sum(nil))
	s.layout, err = d.layout()
	if err != nil {
		return cli.Usagef("%s: %w", s.path, err)
	}
	return nil
}

// hashBytes is the hash that survey gives, without looking at the records.
func (s *source) hashBytes() (string, error) {
	sum, err := store.Hash(s.path)
	if err != nil {
		return "", &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return strings.TrimPrefix(sum, "sha256:"), nil
}

var (
	magicGzip    = []byte{0x1F, 0x8B}
	magicZstd    = []byte{0x28, 0xB5, 0x2F, 0xFD}
	magicParquet = []byte("PAR1")
)

// zstdWindow bounds what a zstd frame may ask to be kept; it is what the zstd
// program accepts by default.
const zstdWindow = 128 << 20

// each calls f with every record in order, as JSON; key is its key in an object
// of records (as JSON), else nil. The bytes are f's until it returns. What is
// read of the file also goes to h, when that is not nil.
func (s *source) each(h hash.Hash, f func(key, raw []byte) error) (err error) {
	stop := false
	record := func(key, raw []byte) error {
		err := f(key, raw)
		stop = err != nil
		return err
	}
	defer func() {
		if err != nil && !stop {
			err = cli.Usagef("%s: %w", s.path, err)
		}
	}()
	file, err := store.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	var in io.Reader = file
	if h != nil {
		in = io.TeeReader(file, h)
	}
	b := bufio.NewReaderSize(in, 1<<18)
	magic, _ := b.Peek(4)
	if bytes.Equal(magic, magicParquet) {
		s.container = "Parquet"
		if h != nil {
			if _, err := io.Copy(io.Discard, b); err != nil {
				return err
			}
		}
		return s.eachParquet(record)
	}
	text, packed, err := unpack(b, magic)
	if err != nil {
		return err
	}
	if err := s.eachText(text, record); err != nil {
		if packed != "" && errors.Is(err, io.ErrUnexpectedEOF) && !stop {
			return fmt.Errorf("the compressed file is cut off: %w", err)
		}
		return err
	}
	s.container += packed
	_, err = io.Copy(io.Discard, b) // what follows the records counts for the hash
	return err
}

// unpack decompresses what its first bytes say is compressed.
func unpack(b *bufio.Reader, magic []byte) (r io.Reader, packed string, err error) {
	switch {
	case bytes.HasPrefix(magic, magicGzip):
		r, err = gzip.NewReader(b)
		return r, ", gzip", err
	case bytes.HasPrefix(magic, magicZstd):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		return z, ", zstd", err
	}
	return b, "", nil
}

func (s *source) eachText(r io.Reader, f func(key, raw []byte) error) error {
	if z, ok := r.(*zstd.Decoder); ok {
		defer z.Close()
	}
	scan := newScanner(r)
	shape, isJSON := scan.shape()
	bare := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s.name), ".gz"), ".zst")
	switch first, ok := scan.space(); {
	case !ok && scan.err != io.EOF:
		return scan.err
	case ok && (scan.is("\xff\xfe\x00\x00") || scan.is("\x00\x00\xfe\xff")):
		return errors.New("the text is UTF-32; make UTF-8 of it, as with iconv -f UTF-32 -t UTF-8")
	case ok && (first == 0xff || first == 0xfe):
		return errors.New("the text is UTF-16, as Windows writes it; make UTF-8 of it, as with iconv -f UTF-16 -t UTF-8")
	case filepath.Ext(bare) == ".csv", s.name == stdinName && ok && !isJSON:
		s.container = "CSV"
		return eachCSV(io.MultiReader(bytes.NewReader(scan.buf[scan.lo:]), errReader{scan.err}, r), func(raw []byte) error { return f(nil, raw) })
	case ok && !isJSON:
		return fmt.Errorf("begins with %q: neither JSON ({ or [), gzip, zstd nor Parquet; name a CSV file .csv, and make JSON Lines of plain text, as with jq -Rc '{text: .}'", first)
	}
	s.container = [...]string{"JSON Lines", "JSON array", "JSON object"}[shape]
	return scan.eachJSON(shape, f)
}

// errReader gives back an error that has been met already; nil is the end.
type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) {
	if e.err == nil {
		return 0, io.EOF
	}
	return 0, e.err
}

func (s *source) eachParquet(f func(key, raw []byte) error) error {
	r, err := parquet.OpenRecords(s.path)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		raw, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(nil, raw); err != nil {
			return err
		}
	}
}
