package tokenize

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/bound"
	"eaft/parquet"
)

// FuzzSeen: what an earlier run wrote of the rows that it has seen is refused by
// name, or every row of it is known.
func FuzzSeen(f *testing.F) {
	for _, near := range []bool{false, true} {
		var part bytes.Buffer
		d := seen(f, near)
		for i := range 3 {
			if _, err := d.see(int64(i), contentKey{byte(i)}, &signature{uint32(i)}, &part); err != nil {
				f.Fatal(err)
			}
		}
		whole := part.Bytes()
		flipped := bytes.Clone(whole)
		flipped[5] ^= 0x80
		for _, b := range [][]byte{whole, flipped, whole[:len(whole)-1], whole[1:], nil, make([]byte, len(whole))} {
			f.Add(b, near)
			f.Add(b, !near)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, near bool) {
		bound.Memory(t, len(data))
		path := filepath.Join(t.TempDir(), "seen.bin")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		d := seen(t, near)
		if err := d.load(path); err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		size := 24 + crc32.Size
		if near {
			size += 4 * signatureSize
		}
		for ; len(data) > 0; data = data[size:] {
			if why, err := d.see(0, contentKey(data[8:24]), &signature{}, io.Discard); err != nil || why == nil {
				t.Fatalf("%x is not known (%v)", data[:24], err)
			}
		}
	})
}

func seen(t testing.TB, near bool) *dedup {
	o := &Dedup{Exact: true}
	if near {
		o.Near = 0.8
	}
	d, err := newDedup(o, t.TempDir(), func(place int64) string { return fmt.Sprint(place) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// FuzzSpool: the records of a shuffled corpus come back, each once, or the spool
// was damaged and the run ends with an error that says so.
func FuzzSpool(f *testing.F) {
	for at := range uint32(24) {
		f.Add([]byte("{}\n{\"text\":\"a\"}\n\n{}"), uint64(7), at, byte(1<<(at%8)))
	}
	f.Add([]byte("a\nb"), uint64(0), uint32(8), byte(0xff))
	f.Add([]byte("a\nb"), uint64(1), uint32(0), byte(0))
	f.Add([]byte{}, uint64(1), uint32(0), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, at uint32, damage byte) {
		bound.Memory(t, len(data))
		s, err := newShuffler(seed, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		left := map[string]int{}
		name := func(source int, row int64, key, raw []byte) string {
			return fmt.Sprintf("%d %d %q %q", source, row, key, raw)
		}
		for i, raw := range bytes.Split(data, []byte("\n")) {
			key := raw[:len(raw)/2]
			if err := s.add(uint64(i), i%3, int64(i), key, raw); err != nil {
				t.Fatal(err)
			}
			left[name(i%3, int64(i), key, raw)]++
			if i%5 == 4 {
				if err := s.flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		b, where := make([]byte, 1), int64(at)%s.size
		if _, err := s.spool.ReadAt(b, where); err != nil {
			t.Fatal(err)
		}
		b[0] ^= damage
		if _, err := s.spool.WriteAt(b, where); err != nil {
			t.Fatal(err)
		}
		err = s.each(func(source int, row int64, key, raw []byte) error {
			if n := name(source, row, key, raw); left[n] == 0 {
				t.Fatalf("%s was never there", n)
			} else {
				left[n]--
			}
			return nil
		})
		if damage != 0 && !errors.Is(err, errSpool) || damage == 0 && err != nil {
			t.Fatalf("byte %d of the spool changed by %#x: %v", where, damage, err)
		}
		for n, times := range left {
			if err == nil && times != 0 {
				t.Fatalf("%s is missing", n)
			}
		}
	})
}

// FuzzReport: whatever the manifest of a finished dataset says, it is printed or
// refused by name.
func FuzzReport(f *testing.F) {
	for _, s := range []string{`{"ledger":{"rows_in":3,"rows_out":2,"dropped":{"x":1},"tokens":9},"summary":{"trained_turns":2,"trained_ends":1,"lengths":[0,1,1],"longest":5,"reject_examples":{"x":{"source":"s","row":1,"detail":"d"}}}}`,
		`{"ledger":{"rows_in":1,"rows_out":1},"summary":{"lengths":[9223372036854775807]}}`, `{"ledger":{"rows_in":1,"rows_out":1},"summary":{"lengths":[1,-1]}}`, `{"summary":{"longest":-1}}`,
		`{"ledger":{"rows_in":1,"rows_out":1},"summary":{"lengths":[` + strings.Repeat("1,", 80) + `1]}}`, `{"summary":null}`, `{"summary":[]}`, `{}`, `{"summary":{"lengths":{"a":1}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, parquet.ManifestName), data, 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := parquet.ReadManifest(dir)
		if err != nil {
			return
		}
		for _, write := range []func(io.Writer, Made) error{WriteText, WriteJSON} {
			if err := write(io.Discard, Made{dir, m}); err != nil && !strings.Contains(err.Error(), parquet.ManifestName) {
				t.Fatalf("the error does not name the file: %v", err)
			}
		}
	})
}
