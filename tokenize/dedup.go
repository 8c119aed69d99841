package tokenize

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Dedup says which rows are duplicates.
type Dedup struct {
	Exact bool    `json:"exact,omitempty"`
	Near  float64 `json:"near,omitempty"` // least Jaccard similarity; 0: not looked for
}

// ParseDedup reads what --dedup was given: exact, near or near=SIMILARITY.
func ParseDedup(args []string) (*Dedup, error) {
	if len(args) == 0 {
		return nil, nil
	}
	d := &Dedup{}
	for _, arg := range args {
		for _, part := range strings.Split(arg, ",") {
			kind, value, given := strings.Cut(part, "=")
			switch {
			case kind == "exact" && !given:
				d.Exact = true
			case kind == "near":
				d.Exact, d.Near = true, 0.8
				if given {
					var err error
					if d.Near, err = strconv.ParseFloat(value, 64); err != nil || !(d.Near >= 0.3 && d.Near <= 1) {
						return nil, cli.Usagef("--dedup %q: the similarity is a number from 0.3 to 1", part)
					}
				}
			default:
				return nil, cli.Usagef("--dedup %q: use exact or near=SIMILARITY, such as near=0.8", part)
			}
		}
	}
	return d, nil
}

// dedup knows the rows that are in the dataset, by their place in the order of
// input records. Of rows that are alike the first one stays.
type dedup struct {
	exact map[contentKey]int64
	near  *nearIndex // nil: only exact copies
	name  func(place int64) string
}

// newDedup keeps what does not fit into memory in dir; nil where o is nil.
func newDedup(o *Dedup, dir string, name func(int64) string) (d *dedup, err error) {
	if o == nil {
		return nil, nil
	}
	d = &dedup{exact: map[contentKey]int64{}, name: name}
	if o.Near > 0 {
		d.near, err = newNearIndex(o.Near, dir)
	}
	return d, err
}

func (d *dedup) close() {
	if d != nil && d.near != nil {
		d.near.close()
	}
}

// see reports a duplicate of a row seen before, else remembers the row, in part
// too for a run that goes on later.
func (d *dedup) see(place int64, key contentKey, sig *signature, part io.Writer) (*reject, error) {
	if first, ok := d.exact[key]; ok {
		return &reject{duplicate, "the same content as " + d.name(first)}, nil
	}
	if d.near != nil {
		first, similarity, ok, err := d.near.find(sig)
		if err != nil {
			return nil, err
		}
		if ok {
			return &reject{nearDuplicate, fmt.Sprintf("%.2f similar to %s", similarity, d.name(first))}, nil
		}
	}
	if err := d.add(place, key, sig); err != nil {
		return nil, err
	}
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(place)), key[:]...)
	if d.near != nil {
		for _, v := range sig {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	_, err := part.Write(binary.LittleEndian.AppendUint32(b, checksum(b)))
	return nil, err
}

// Each time so many rows came, garbage is held down again: left to itself the
// collector would let it grow to the size of what is remembered.
const steadyRows = 1 << 16

func (d *dedup) add(place int64, key contentKey, sig *signature) error {
	d.exact[key] = place
	if len(d.exact)%steadyRows == 0 {
		cli.SteadyHeap()
	}
	if d.near == nil {
		return nil
	}
	return d.near.add(sig, place)
}

// load remembers what an earlier run wrote of a shard.
func (d *dedup) load(path string) error {
	f, err := store.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	size := 24
	if d.near != nil {
		size += 4 * signatureSize
	}
	b := make([]byte, size+crc32.Size)
	for {
		if _, err := io.ReadFull(r, b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w; remove the folder and run again", path, err)
		}
		if checksum(b[:size]) != binary.LittleEndian.Uint32(b[size:]) {
			return fmt.Errorf("%s: has changed since it was written; remove the folder and run again", path)
		}
		sig := &signature{}
		for i := 24; i < size; i += 4 {
			sig[(i-24)/4] = binary.LittleEndian.Uint32(b[i:])
		}
		if err := d.add(int64(binary.LittleEndian.Uint64(b)), contentKey(b[8:24]), sig); err != nil {
			return err
		}
	}
}
