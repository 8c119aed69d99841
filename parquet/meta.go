package parquet

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Meta is what a shard says about how it was made, in the key-value metadata of
// the Parquet footer. It is empty in files that are not ours: those that another
// program has written, whatever they say. pyarrow gives a table that it has read and
// writes again, perhaps with other rows, the metadata of the file that it came from.
type Meta struct {
	Schema, Version string
	Hashes          map[string]string
	K               int
	StoreTopK       int // likeliest tokens stored of each target
	ISA, DType      string
	Numerics        int // scores: scorer.Numerics; 0: not said
	Targets         string
	Ledger          Ledger
	Summary         json.RawMessage // what the stage says of the shard's rows
}

const hashPrefix = "eaft.hash."

// writtenBy begins the footer's created_by in all files that are ours.
const writtenBy = "eaft version "

type keyValue struct{ key, value string }

// pairs returns the metadata in a fixed order.
func (m Meta) pairs() ([]keyValue, error) {
	ledger, err := json.Marshal(m.Ledger)
	if err != nil {
		return nil, err
	}
	kv := []keyValue{
		{"eaft.schema", m.Schema}, {"eaft.version", m.Version}, {"eaft.ledger", string(ledger)},
		{"eaft.isa", m.ISA}, {"eaft.dtype", m.DType}, {"eaft.targets", m.Targets},
		{"eaft.summary", string(m.Summary)},
	}
	if m.K != 0 {
		kv = append(kv, keyValue{"eaft.k", strconv.Itoa(m.K)})
	}
	if m.StoreTopK != 0 {
		kv = append(kv, keyValue{"eaft.store_topk", strconv.Itoa(m.StoreTopK)})
	}
	if m.Numerics != 0 {
		kv = append(kv, keyValue{"eaft.numerics", strconv.Itoa(m.Numerics)})
	}
	for name, h := range m.Hashes {
		kv = append(kv, keyValue{hashPrefix + name, h})
	}
	out := kv[:0]
	for _, p := range kv {
		if p.value != "" {
			out = append(out, p)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out, nil
}

// ReadMeta reads a shard's metadata. A file that is not ours has an empty Meta.
func ReadMeta(path string) (Meta, error) {
	f, err := openFile(path)
	if err != nil {
		return Meta{}, err
	}
	defer f.close()
	return f.meta()
}

func (f *file) meta() (m Meta, err error) {
	path := f.path
	if !strings.HasPrefix(f.pq.Metadata().CreatedBy, writtenBy) {
		return Meta{}, nil
	}
	for _, kv := range f.pq.Metadata().KeyValueMetadata {
		if name, ok := strings.CutPrefix(kv.Key, hashPrefix); ok {
			if m.Hashes == nil {
				m.Hashes = map[string]string{}
			}
			m.Hashes[name] = kv.Value
			continue
		}
		switch kv.Key {
		case "eaft.schema":
			m.Schema = kv.Value
		case "eaft.version":
			m.Version = kv.Value
		case "eaft.isa":
			m.ISA = kv.Value
		case "eaft.dtype":
			m.DType = kv.Value
		case "eaft.targets":
			m.Targets = kv.Value
		case "eaft.summary":
			m.Summary = json.RawMessage(kv.Value)
		case "eaft.k":
			if m.K, err = strconv.Atoi(kv.Value); err != nil {
				return Meta{}, fmt.Errorf("%s: metadata eaft.k: %q is not a number", path, kv.Value)
			}
		case "eaft.numerics":
			if m.Numerics, err = strconv.Atoi(kv.Value); err != nil {
				return Meta{}, fmt.Errorf("%s: metadata eaft.numerics: %q is not a number", path, kv.Value)
			}
		case "eaft.store_topk":
			if m.StoreTopK, err = strconv.Atoi(kv.Value); err != nil {
				return Meta{}, fmt.Errorf("%s: metadata eaft.store_topk: %q is not a number", path, kv.Value)
			}
		case "eaft.ledger":
			if err := json.Unmarshal([]byte(kv.Value), &m.Ledger); err != nil {
				return Meta{}, fmt.Errorf("%s: metadata eaft.ledger: %w", path, err)
			}
		}
	}
	return m, nil
}
