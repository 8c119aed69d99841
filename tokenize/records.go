package tokenize

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"crypto/sha256"

	"eaft/internal/cli"
)

// source is an input file: JSON Lines, or one JSON array.
type source struct {
	path, name string // name: without its folder
	records    int64
	hash       string
}

// maxRecord bounds one record; beyond it the file is surely no JSON Lines.
const maxRecord = 256 << 20

// countRecords reads every input once: how many records, and what content.
func countRecords(inputs []string) ([]source, error) {
	var out []source
	names := map[string]string{}
	for _, path := range inputs {
		s := source{path: path, name: filepath.Base(path)}
		if other, ok := names[s.name]; ok {
			return nil, cli.Usagef("%s and %s have the same name, which is what rows are known by: rename one", other, path)
		}
		names[s.name] = path
		h := sha256.New()
		err := s.each(h, func([]byte) error { s.records++; return nil })
		if err != nil {
			return nil, err
		}
		if s.records == 0 {
			return nil, cli.Usagef("%s: the file has no record", path)
		}
		s.hash = hex.EncodeToString(h.Sum(nil))
		out = append(out, s)
	}
	return out, nil
}

// each calls f with every record in order; the bytes are f's until it returns.
// What is read also goes to h, when that is not nil.
func (s *source) each(h hash.Hash, f func(record []byte) error) error {
	file, err := os.Open(s.path)
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	defer file.Close()
	var in io.Reader = file
	if h != nil {
		in = io.TeeReader(file, h)
	}
	r := bufio.NewReaderSize(in, 1<<20)
	if isArray(r) {
		return s.eachOfArray(r, f)
	}
	var long []byte
	for n := int64(0); ; {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) > maxRecord {
				return cli.Usagef("%s: record %d is over %d MiB", s.path, n, maxRecord>>20)
			}
			continue
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := f(line); err != nil {
				return err
			}
			n++
		}
		long = long[:0]
		if err == io.EOF {
			return nil
		}
	}
}

// isArray looks whether the file's first character is a bracket.
func isArray(r *bufio.Reader) bool {
	for n := 1; n <= r.Size(); n++ {
		b, err := r.Peek(n)
		if err != nil {
			return false
		}
		switch b[n-1] {
		case ' ', '\t', '\r', '\n':
			continue
		case '[':
			return true
		}
		return false
	}
	return false
}

func (s *source) eachOfArray(r io.Reader, f func([]byte) error) error {
	dec := json.NewDecoder(r)
	if _, err := dec.Token(); err != nil {
		return cli.Usagef("%s: %w", s.path, err)
	}
	for n := 0; dec.More(); n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return cli.Usagef("%s: record %d: malformed JSON: %w", s.path, n, err)
		}
		if err := f(raw); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return cli.Usagef("%s: the JSON array does not end: %w", s.path, err)
	}
	_, err := io.Copy(io.Discard, io.MultiReader(dec.Buffered(), r)) // the rest counts for the hash
	return err
}
