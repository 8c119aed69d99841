package tokenize

import "path/filepath"

// EachRecord calls f with every record of a file in order, as JSON: of JSON
// lines, a JSON array, an object of records, in which key is the record's own (as
// JSON), CSV or Parquet, gzip and zstd too. The bytes are f's until it returns.
func EachRecord(path string, f func(key, raw []byte) error) error {
	s := &source{path: path, name: filepath.Base(path)}
	return s.each(nil, f)
}
