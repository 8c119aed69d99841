package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"
)

// metricsLine is a line of metrics.jsonl. tokens_per_s and time are all that the
// clock decides; the rest is the same whenever and however often a run stops.
type metricsLine struct {
	Metrics
	Time float64 `json:"time"` // Unix time, seconds
}

// metricsFile is metrics.jsonl, which grows by a line each step.
type metricsFile struct {
	f   *os.File
	pos position
	sum hash.Hash
}

// position is how far a file has been written, and the hash of that part.
type position struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// openMetrics opens the file and cuts off what follows at. Its first part must
// have been checked.
func openMetrics(path string, at position) (*metricsFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	m := &metricsFile{f: f, pos: at, sum: sha256.New()}
	err = f.Truncate(at.Bytes)
	if err == nil {
		_, err = io.Copy(m.sum, f) // and to the end
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// add writes a step's line and returns it.
func (m *metricsFile) add(mt Metrics) ([]byte, error) {
	line, err := json.Marshal(metricsLine{mt, float64(time.Now().UnixMilli()) / 1e3})
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	n, err := m.f.Write(line)
	m.sum.Write(line[:n])
	m.pos.Bytes += int64(n)
	return line, err
}

// sync makes the lines durable and returns how far they reach.
func (m *metricsFile) sync() (position, error) {
	m.pos.SHA256 = "sha256:" + hex.EncodeToString(m.sum.Sum(nil))
	return m.pos, m.f.Sync()
}

// positionOf is the position n in a file, or at its end if that comes first.
func positionOf(path string, n int64) (p position, err error) {
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	sum := sha256.New()
	p.Bytes, err = io.Copy(sum, io.LimitReader(f, n))
	p.SHA256 = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return p, err
}

// check reports, as damage, a file that does not begin as it did at p.
func (p position) check(path string) error {
	got, err := positionOf(path, p.Bytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(path + " is missing")
	case err != nil:
		return err
	case got.Bytes < p.Bytes:
		return damaged(fmt.Sprintf("%s has %d bytes, not %d", path, got.Bytes, p.Bytes))
	case got != p:
		return damaged(path + " was changed")
	}
	return nil
}
