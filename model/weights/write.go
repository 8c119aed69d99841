package weights

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Named is a tensor to be written.
type Named struct {
	Name, DType string // DType F32, BF16 or F16
	Shape       []int
	// Read writes row `row` of the first dimension into dst; a vector is one row.
	Read func(row int, dst []float32) error
}

// WriteSafetensors writes tensors in their order, one row in memory at a time.
// The file appears whole or not at all.
func WriteSafetensors(path string, tensors []Named, meta map[string]string) error {
	header, err := safetensorsHeader(tensors, meta)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFile(path, header, tensors, 1)
}

// writeFile writes a header and tensors behind it, each filled up to a multiple of
// alignment, as a file that appears whole and durable or not at all.
func writeFile(path string, header []byte, tensors []Named, alignment int) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(header) // a failure sticks in w until Flush
	for _, t := range tensors {
		if err := writeTensor(w, t); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		size, _ := sizeOf(Info{t.DType, t.Shape}) // the header has it already
		w.Write(make([]byte, (alignment-size%alignment)%alignment))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// safetensorsHeader is the length and the JSON, padded with spaces so that the
// data is aligned to 8 bytes.
func safetensorsHeader(tensors []Named, meta map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(meta) > 0 {
		m, err := json.Marshal(meta)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `"__metadata__":%s`, m)
	}
	at, seen := 0, map[string]bool{"__metadata__": true}
	for _, t := range tensors {
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		}
		seen[t.Name] = true
		if !slices.Contains([]string{"F32", "BF16", "F16"}, t.DType) {
			return nil, fmt.Errorf("tensor %q: dtype %s is not written", t.Name, t.DType)
		}
		size, err := sizeOf(Info{t.DType, t.Shape})
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...)) // a scalar's is [], not null
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, at, at+size)
		at += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(b.Len())), b.Bytes()...), nil
}

func writeTensor(w *bufio.Writer, t Named) error {
	rows, cols := 1, 1
	for i, n := range t.Shape {
		if i == 0 && len(t.Shape) > 1 {
			rows = n
		} else {
			cols *= n
		}
	}
	row := make([]float32, cols)
	buf := make([]byte, 0, 4*cols)
	for r := range rows {
		if err := t.Read(r, row); err != nil {
			return err
		}
		buf = buf[:0]
		for _, x := range row {
			switch t.DType {
			case "BF16":
				buf = binary.LittleEndian.AppendUint16(buf, floatToBF16(x))
			case "F16":
				half := floatToHalf(x)
				if half&0x7fff == 0x7c00 && !math.IsInf(float64(x), 0) {
					return fmt.Errorf("row %d has %g, which float16 cannot hold: choose BF16 or F32", r, x)
				}
				buf = binary.LittleEndian.AppendUint16(buf, half)
			default:
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
			}
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
