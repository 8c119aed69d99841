package tokenize

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
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
	part  []byte // what the shard at hand adds, for a run that goes on later
}

func newDedup(o *Dedup, name func(int64) string) *dedup {
	if o == nil {
		return nil
	}
	d := &dedup{exact: map[contentKey]int64{}, name: name}
	if o.Near > 0 {
		d.near = newNearIndex(o.Near)
	}
	return d
}

// see reports a duplicate of a row seen before, else remembers the row.
func (d *dedup) see(place int64, key contentKey, sig *signature) *reject {
	if first, ok := d.exact[key]; ok {
		return &reject{duplicate, "the same content as " + d.name(first)}
	}
	if d.near != nil {
		if first, similarity, ok := d.near.find(sig); ok {
			return &reject{nearDuplicate, fmt.Sprintf("%.2f similar to %s", similarity, d.name(first))}
		}
	}
	d.add(place, key, sig)
	d.part = append(binary.LittleEndian.AppendUint64(d.part, uint64(place)), key[:]...)
	if d.near != nil {
		for _, v := range sig {
			d.part = binary.LittleEndian.AppendUint32(d.part, v)
		}
	}
	return nil
}

func (d *dedup) add(place int64, key contentKey, sig *signature) {
	d.exact[key] = place
	if d.near != nil {
		d.near.add(sig, place)
	}
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
	b := make([]byte, size)
	for {
		if _, err := io.ReadFull(r, b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w; remove the folder and run again", path, err)
		}
		sig := &signature{}
		for i := 24; i < size; i += 4 {
			sig[(i-24)/4] = binary.LittleEndian.Uint32(b[i:])
		}
		d.add(int64(binary.LittleEndian.Uint64(b)), contentKey(b[8:24]), sig)
	}
}
