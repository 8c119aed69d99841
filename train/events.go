package train

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// eventsFile is what TensorBoard shows: the numbers of metrics.jsonl as scalars
// train/NAME, derived from its lines alone.
//
// The file is a sequence of TFRecords (tensorflow/core/lib/io/record_writer.h: the
// length in 8 bytes, its masked CRC-32C, the data, its masked CRC-32C), each an
// Event (tensorflow/core/util/event.proto).
type eventsFile struct {
	f *os.File
	w *bufio.Writer
}

// eventsFileName has "tfevents" in it, by which TensorBoard knows such files.
const eventsFileName = "events.out.tfevents.eaft"

// openEvents writes the events of the lines that metrics has so far into a new
// file in dir.
func openEvents(dir, metrics string) (e *eventsFile, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	lines, err := os.Open(metrics)
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	f, err := os.Create(filepath.Join(dir, eventsFileName))
	if err != nil {
		return nil, err
	}
	e = &eventsFile{f, bufio.NewWriter(f)}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	r := bufio.NewReader(lines)
	for n := 0; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		if len(line) == 0 {
			return e, e.w.Flush()
		}
		if err := e.write(line, n == 0); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", metrics, n+1, err)
		}
	}
}

// add writes a step's line of the metrics; the first of all with first.
func (e *eventsFile) add(line []byte, first bool) error {
	if err := e.write(line, first); err != nil {
		return err
	}
	return e.w.Flush()
}

func (e *eventsFile) write(line []byte, first bool) error {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&fields); err != nil {
		return err
	}
	wall, _ := fields["time"].(float64)
	step, _ := fields["step"].(float64)
	delete(fields, "time")
	delete(fields, "step")
	if first {
		e.record(appendText(event(wall, 0), 3, "brain.Event:2")) // file_version
	}
	var summary []byte
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		summary = appendScalars(summary, "train/"+name, fields[name])
	}
	e.record(appendText(event(wall, int64(step)), 5, string(summary)))
	return nil
}

// appendScalars appends the numbers of v to a Summary: value (1) with tag (1)
// and simple_value (2). Those of an object have its name before theirs.
func appendScalars(b []byte, tag string, v any) []byte {
	switch v := v.(type) {
	case float64:
		value := appendText(nil, 1, tag)
		value = append(value, 2<<3|5)
		value = binary.LittleEndian.AppendUint32(value, math.Float32bits(float32(v)))
		return appendText(b, 1, string(value))
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = appendScalars(b, tag+"/"+name, v[name])
		}
	}
	return b
}

// event begins an Event: wall_time (1), step (2).
func event(wall float64, step int64) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(wall))
	return binary.AppendUvarint(append(b, 2<<3), uint64(step))
}

// appendText appends a protobuf field of bytes.
func appendText(b []byte, field int, s string) []byte {
	b = binary.AppendUvarint(b, uint64(field<<3|2))
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// record appends a TFRecord; a failure sticks in e.w until Flush.
func (e *eventsFile) record(data []byte) {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	e.w.Write(binary.LittleEndian.AppendUint32(length, maskedCRC(length)))
	e.w.Write(data)
	e.w.Write(binary.LittleEndian.AppendUint32(nil, maskedCRC(data)))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is tensorflow/core/lib/hash/crc32c.h's Mask of the CRC-32C.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
