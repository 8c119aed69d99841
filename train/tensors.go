package train

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"eaft/compute"
)

// tensor is a named matrix of a run's state: float32 on the device, or bytes.
type tensor struct {
	name       string
	rows, cols int
	value      compute.Tensor // [rows, cols]
	bytes      []byte         // rows*cols of them, where value is nil
}

// stored is a file of a checkpoint.
type stored struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // "sha256:" and hex
}

// tensorsHeader is the head of a safetensors file of ts in their order (the
// length in 8 bytes, then JSON, padded to a multiple of 8).
func tensorsHeader(ts []tensor) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	at := 0
	for i, t := range ts {
		dtype, size := "U8", t.rows*t.cols
		if t.value != nil {
			dtype, size = "F32", 4*size
		}
		name, err := json.Marshal(t.name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":[%d,%d],"data_offsets":[%d,%d]}`, name, dtype, t.rows, t.cols, at, at+size)
		at += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(b.Len())), b.Bytes()...), nil
}

// writeTensors writes ts as a safetensors file, durably, a row in memory at a
// time.
func writeTensors(path string, dev compute.Device, ts []tensor) (s stored, err error) {
	header, err := tensorsHeader(ts)
	if err != nil {
		return s, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return s, err
	}
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20) // a failure sticks in w until Flush
	w.Write(header)
	s.Name, s.Bytes = filepath.Base(path), int64(len(header))
	for _, t := range ts {
		if t.value == nil {
			w.Write(t.bytes)
			s.Bytes += int64(len(t.bytes))
			continue
		}
		row, buf := make([]float32, t.cols), make([]byte, 4*t.cols)
		for r := range t.rows {
			dev.Read(row, t.value.Slice(r, r+1))
			for i, x := range row {
				binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(x))
			}
			if _, err := w.Write(buf); err != nil {
				break
			}
		}
		s.Bytes += 4 * int64(t.rows) * int64(t.cols)
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return s, err
	}
	s.SHA256 = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// readTensors fills ts from a file of writeTensors, which must hold these very
// tensors.
func readTensors(path string, dev compute.Device, ts []tensor) error {
	want, err := tensorsHeader(ts)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	have := make([]byte, len(want))
	if _, err := io.ReadFull(r, have); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%s: holds other tensors than this run trains", path)
	}
	for _, t := range ts {
		if t.value == nil {
			if _, err := io.ReadFull(r, t.bytes); err != nil {
				return fmt.Errorf("%s: %s: %w", path, t.name, err)
			}
			continue
		}
		row, buf := make([]float32, t.cols), make([]byte, 4*t.cols)
		for i := range t.rows {
			if _, err := io.ReadFull(r, buf); err != nil {
				return fmt.Errorf("%s: %s: %w", path, t.name, err)
			}
			for j := range row {
				row[j] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*j:]))
			}
			dev.Write(t.value.Slice(i, i+1), row)
		}
	}
	return nil
}

// masters are the trained weights, float32, as a checkpoint holds them.
func (t *trainer) masters() []tensor {
	var ts []tensor
	for _, p := range t.params {
		ts = append(ts, tensor{name: p.Name, rows: p.Value.Rows(), cols: p.Value.Cols(), value: p.Value})
	}
	return ts
}

// moments are the optimizer's state as a checkpoint holds it.
func (t *trainer) moments() []tensor {
	var ts []tensor
	for i, p := range t.params {
		ts = append(ts,
			tensor{name: p.Name + ".exp_avg", rows: p.Value.Rows(), cols: p.Value.Cols(), value: t.m1[i]},
			tensor{name: p.Name + ".exp_avg_sq", rows: p.Value.Rows(), cols: p.Value.Cols(), value: t.m2[i]})
	}
	return ts
}
