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

// eventsFile is what TensorBoard shows, derived from the lines of metrics.jsonl and
// eval.jsonl alone: the numbers of a step as scalars train/NAME, those of an
// evaluation as eval/NAME, or eval/SET_NAME where there are several held-out sets.
// The tags are those of transformers' Trainer. An evaluation has the time of the
// step that it follows, that of the base the time of the first.
//
// The file is a sequence of TFRecords (tensorflow/core/lib/io/record_writer.h: the
// length in 8 bytes, its masked CRC-32C, the data, its masked CRC-32C), each an
// Event (tensorflow/core/util/event.proto).
type eventsFile struct {
	f     *os.File
	w     *bufio.Writer
	sets  int // that are held out
	begun bool
	wall  float64          // of the last step
	early []map[string]any // evaluations before the first step
}

// eventsFileName has "tfevents" in it, by which TensorBoard knows such files.
const eventsFileName = "events.out.tfevents.eaft"

// openEvents writes the events of the lines that metrics and, with held-out sets,
// evals have so far into a new file in dir.
func openEvents(dir, metrics, evals string, sets int) (e *eventsFile, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, eventsFileName))
	if err != nil {
		return nil, err
	}
	e = &eventsFile{f: f, w: bufio.NewWriter(f), sets: sets}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	var evaluated []map[string]any
	if sets > 0 {
		if err := eachLine(evals, func(fields map[string]any) { evaluated = append(evaluated, fields) }); err != nil {
			return nil, err
		}
	}
	upTo := func(step float64) {
		for len(evaluated) > 0 && stepIn(evaluated[0]) <= step {
			e.evaluation(evaluated[0])
			evaluated = evaluated[1:]
		}
	}
	upTo(0)
	if err := eachLine(metrics, func(fields map[string]any) { e.step(fields); upTo(stepIn(fields)) }); err != nil {
		return nil, err
	}
	return e, e.w.Flush()
}

// eachLine hands f the lines of a file of JSON objects.
func eachLine(path string, f func(map[string]any)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReader(file)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		fields, err := fieldsOf(line)
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		f(fields)
	}
}

func fieldsOf(line []byte) (fields map[string]any, err error) {
	return fields, json.NewDecoder(bytes.NewReader(line)).Decode(&fields)
}

func stepIn(fields map[string]any) float64 {
	step, _ := fields["step"].(float64)
	return step
}

// add writes a step's line of the metrics.
func (e *eventsFile) add(line []byte) error {
	fields, err := fieldsOf(line)
	if err != nil {
		return err
	}
	e.step(fields)
	return e.w.Flush()
}

// addEvaluation writes a line of the evaluations, behind the step's that it is of.
func (e *eventsFile) addEvaluation(line []byte) error {
	fields, err := fieldsOf(line)
	if err != nil {
		return err
	}
	e.evaluation(fields)
	return e.w.Flush()
}

func (e *eventsFile) step(fields map[string]any) {
	e.wall, _ = fields["time"].(float64)
	if !e.begun {
		e.begun = true
		e.record(appendText(event(e.wall, 0), 3, "brain.Event:2")) // file_version
		for _, base := range e.early {
			e.evaluation(base)
		}
		e.early = nil
	}
	e.scalars("train/", fields, "time")
}

func (e *eventsFile) evaluation(fields map[string]any) {
	if !e.begun {
		e.early = append(e.early, fields)
		return
	}
	prefix := "eval/"
	if name, _ := fields["name"].(string); e.sets > 1 {
		prefix += name + "_"
	}
	e.scalars(prefix, fields, "name", "rows", "targets") // which are always the same
}

// scalars writes an event of the numbers of a line, but for those left out.
func (e *eventsFile) scalars(prefix string, fields map[string]any, out ...string) {
	var summary []byte
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "step" && !slices.Contains(out, name) {
			summary = appendScalars(summary, prefix+name, fields[name])
		}
	}
	e.record(appendText(event(e.wall, int64(stepIn(fields))), 5, string(summary)))
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
