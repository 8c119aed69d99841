package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"eaft/internal/hub"
	"eaft/internal/store"
)

const (
	indexFile  = hub.IndexFile
	singleFile = hub.WeightsFile
	// maxHeader is the reference implementation's limit (huggingface/safetensors, MAX_HEADER_SIZE).
	maxHeader = 100_000_000
)

// shardNames are a folder's weight files in order, and the index's weight_map.
// A folder may have neither; of one that has both, transformers reads the single file.
func (c *Checkpoint) shardNames() (shards []string, weightMap map[string]string, err error) {
	if _, err := fs.Stat(c.fsys, singleFile); err == nil {
		return []string{singleFile}, nil, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", store.Join(c.ref, singleFile), err)
	}
	data, err := c.File(indexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	where := store.Join(c.ref, indexFile)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", where, err)
	}
	return hub.ReadIndex(where, data)
}

// readSafetensors adds a file's tensors to into. The format: the header's length
// (8 bytes, little-endian), a JSON object of dtype, shape and data_offsets by
// name, and the data (huggingface/safetensors, README "Format").
func readSafetensors(file string, data []byte, into map[string]tensor) error {
	if len(data) < 8 {
		return fmt.Errorf("%s: %d bytes are no safetensors file; download the model again", file, len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return fmt.Errorf("%s: the header says it has %d bytes, the file has %d: truncated or no safetensors; download the model again", file, n, len(data))
	}
	header, body := data[8:8+n], data[8+n:]
	entries, err := members(header)
	if err != nil {
		return fmt.Errorf("%s: header: %w", file, err)
	}
	var extents []extent
	for name, raw := range entries {
		if name == "__metadata__" {
			continue
		}
		var e struct {
			DType   string     `json:"dtype"`
			Shape   []int      `json:"shape"`
			Offsets *[2]uint64 `json:"data_offsets"`
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if err := dec.Decode(&e); err != nil || e.Offsets == nil {
			return fmt.Errorf("%s: tensor %q: wants dtype, shape and data_offsets (%v)", file, name, err)
		}
		info := Info{e.DType, e.Shape}
		if e.DType != "F32" && e.DType != "F16" && e.DType != "BF16" {
			return fmt.Errorf("%s: tensor %q: dtype %q is not supported: convert the model to F32, F16 or BF16", file, name, e.DType)
		}
		size, err := sizeOf(info)
		if err != nil {
			return fmt.Errorf("%s: tensor %q: %w", file, name, err)
		}
		lo, hi := e.Offsets[0], e.Offsets[1]
		if lo > hi || hi > uint64(len(body)) {
			return fmt.Errorf("%s: tensor %q: data_offsets [%d, %d] lie outside the %d bytes of data: the file is truncated; download it again", file, name, lo, hi, len(body))
		}
		if hi-lo != uint64(size) {
			return fmt.Errorf("%s: tensor %q: data_offsets hold %d bytes, %s %v takes %d", file, name, hi-lo, e.DType, e.Shape, size)
		}
		if other, ok := into[name]; ok {
			return fmt.Errorf("%s: tensor %q is also in %s", file, name, other.file)
		}
		into[name] = tensor{info, body[lo:hi], file}
		extents = append(extents, extent{lo, hi, name})
	}
	if err := disjoint(extents); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// members are the values of a JSON object by name. A name that stands twice,
// which encoding/json would hide, is an error.
func members(object []byte) (map[string]json.RawMessage, error) {
	var whole map[string]json.RawMessage // checks the syntax, and that nothing follows
	if err := json.Unmarshal(object, &whole); err != nil {
		return nil, err
	}
	if whole == nil {
		return nil, errors.New("null is no object")
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(whole))
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		if seen[name] {
			return nil, fmt.Errorf("tensor %q stands twice", name)
		}
		seen[name] = true
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

// extent is the bytes [lo, hi) that a tensor takes.
type extent struct {
	lo, hi uint64
	name   string
}

// disjoint fails for tensors that share bytes.
func disjoint(extents []extent) error {
	slices.SortFunc(extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi))
	})
	for i := 1; i < len(extents); i++ {
		if extents[i].lo < extents[i-1].hi {
			return fmt.Errorf("tensors %q and %q share bytes", extents[i-1].name, extents[i].name)
		}
	}
	return nil
}
