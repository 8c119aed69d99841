package parquet

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

func uvarints(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func TestRunsAreBounded(t *testing.T) {
	const huge = 1<<31 - 1
	var binaryPacked delta.BinaryPackedEncoding
	var byteArray delta.ByteArrayEncoding
	lengths, err := binaryPacked.EncodeInt32(nil, make([]int32, 300))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	offsets := []uint32{0}
	for i := range 300 {
		text = append(text, strings.Repeat("ab", i%7)...)
		offsets = append(offsets, uint32(len(text)))
	}
	strs, err := byteArray.EncodeByteArray(nil, text, offsets)
	if err != nil {
		t.Fatal(err)
	}
	second, err := skipDelta(strs, 300)
	if err != nil || len(second) == 0 {
		t.Fatalf("%d bytes after the lengths of prefixes, %v", len(second), err)
	}
	long := append(bytes.Clone(strs[:len(strs)-len(second)]), uvarints(128, 4, huge, 0)...)
	for name, c := range map[string]struct {
		b        []byte
		encoding format.Encoding
		bad      bool
	}{
		"one run":               {append([]byte{1}, uvarints(300<<1, 1)...), format.RLEDictionary, false},
		"runs and packed":       {append([]byte{1}, uvarints(200<<1, 1, 13<<1|1)...), format.RLEDictionary, false},
		"a huge run":            {append([]byte{1}, uvarints(huge<<1, 1)...), format.RLEDictionary, true},
		"many runs":             {append([]byte{1}, uvarints(200<<1, 1, 200<<1, 1)...), plainDictionary, true},
		"a huge run after bits": {append([]byte{1}, append(uvarints(1<<1|1), append([]byte{7}, uvarints(huge<<1, 1)...)...)...), format.RLEDictionary, true},
		"booleans":              {append([]byte{3, 0, 0, 0}, uvarints(304<<1, 1)...), format.RLE, false},
		"huge booleans":         {append([]byte{6, 0, 0, 0}, uvarints(huge<<1, 1)...), format.RLE, true},
		"differences":           {lengths, format.DeltaBinaryPacked, false},
		"huge differences":      {uvarints(128, 4, huge, 0), format.DeltaBinaryPacked, true},
		"huge lengths":          {uvarints(128, 4, huge, 0), format.DeltaLengthByteArray, true},
		"prefixes":              {strs, format.DeltaByteArray, false},
		"huge suffixes":         {long, format.DeltaByteArray, true},
	} {
		if err := checkValues(c.b, 300, c.encoding); (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A run that is longer than its page is an error, not memory.
func TestLongRunInFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	row := TokensRow{ID: "a"}
	for i := range int32(3000) {
		row.InputIDs, row.Labels = append(row.InputIDs, i), append(row.Labels, i)
	}
	writeTokens(t, path, []TokensRow{row})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	level := uvarints(3000<<1, 1) // all 3000 values are there, in one run
	if n := bytes.Count(data, level); n < 2 {
		t.Fatalf("%d columns whose levels are one run", n)
	}
	if _, err := readTokens(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(data, level, uvarints(8191<<1, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readTokens(path); err == nil || !strings.Contains(err.Error(), "a run of 8191 in a page of 3000 values") || !strings.Contains(err.Error(), "input_ids") {
		t.Errorf("tokens: %v", err)
	}
	r, err := OpenRecords(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "a run of 8191") {
		t.Errorf("records: %v", err)
	}
}
