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

// stored is a file of a checkpoint.
type stored struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // "sha256:" and hex
}

// tensorsHeader is the head of a safetensors file of ts in their order (the
// length in 8 bytes, then JSON, padded to a multiple of 8).
func tensorsHeader(ts []State) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	at := 0
	for i, t := range ts {
		dtype, size := "U8", t.Rows*t.Cols
		if t.Value != nil {
			dtype, size = "F32", 4*size
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":[%d,%d],"data_offsets":[%d,%d]}`, name, dtype, t.Rows, t.Cols, at, at+size)
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
func writeTensors(path string, dev compute.Device, ts []State) (s stored, err error) {
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
		if t.Value == nil {
			w.Write(t.Bytes)
			s.Bytes += int64(len(t.Bytes))
			continue
		}
		row, buf := make([]float32, t.Cols), make([]byte, 4*t.Cols)
		for r := range t.Rows {
			dev.Read(row, t.Value.Slice(r, r+1))
			for i, x := range row {
				binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(x))
			}
			if _, err := w.Write(buf); err != nil {
				break
			}
		}
		s.Bytes += 4 * int64(t.Rows) * int64(t.Cols)
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return s, err
	}
	s.SHA256 = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// readTensors fills ts from a file of writeTensors, which must hold these very
// tensors.
func readTensors(path string, dev compute.Device, ts []State) error {
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
		if t.Value == nil {
			if _, err := io.ReadFull(r, t.Bytes); err != nil {
				return fmt.Errorf("%s: %s: %w", path, t.Name, err)
			}
			continue
		}
		row, buf := make([]float32, t.Cols), make([]byte, 4*t.Cols)
		for i := range t.Rows {
			if _, err := io.ReadFull(r, buf); err != nil {
				return fmt.Errorf("%s: %s: %w", path, t.Name, err)
			}
			for j := range row {
				row[j] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*j:]))
			}
			dev.Write(t.Value.Slice(i, i+1), row)
		}
	}
	return nil
}

// masters are the trained weights, float32, as a checkpoint holds them.
func (t *trainer) masters() []State {
	var ts []State
	for _, p := range t.params {
		ts = append(ts, matrixState(p.Name, p.Value))
	}
	return ts
}
