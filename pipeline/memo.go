package pipeline

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"eaft/internal/store"
)

// memo remembers the hashes of inputs from one plan to the next, so that a status
// does not read a corpus of terabytes. It decides nothing: keys are of contents,
// and an input whose files' stamps (store.Stamp) are not all as they were, or not
// sure, is read. run --verify reads all.
type memo struct {
	path  string
	known map[string]remembered
	fresh map[string]remembered // of this plan; known ones that it did not ask for are dropped
}

type remembered struct {
	Stamp string `json:"stamp"`
	Hash  string `json:"hash"`
}

// hashesName is the file of the memo in the run's folder. Whoever removes it loses
// time.
const hashesName = "hashes.json"

func openMemo(path string) *memo {
	m := &memo{path: path, known: map[string]remembered{}, fresh: map[string]remembered{}}
	if data, err := store.ReadFile(path); err != nil || json.Unmarshal(data, &m.known) != nil {
		m.known = nil
	}
	return m
}

// hash is what take finds in files, or found when they had the same stamps.
func (m *memo) hash(what string, files []string, take func() (string, error)) (string, error) {
	before, err := stamps(files)
	if err != nil {
		return "", err
	}
	if was, ok := m.known[what]; ok && before != "" && was.Stamp == before {
		m.fresh[what] = was
		return was.Hash, nil
	}
	h, err := take()
	if err != nil || before == "" {
		return h, err
	}
	if after, err := stamps(files); err == nil && after == before {
		m.fresh[what] = remembered{before, h}
	}
	return h, nil
}

// stamps are those of all files, "" if one is not sure.
func stamps(files []string) (string, error) {
	var all []string
	for _, f := range files {
		s, err := store.Stamp(f)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil // who reads it says so
		}
		if err != nil || s == "" {
			return "", err
		}
		all = append(all, s+" "+f)
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}

// save writes what was learnt. A folder that is not there, for the run was not
// begun, or that cannot be written, is no matter.
func (m *memo) save() {
	if data, err := json.MarshalIndent(m.fresh, "", "  "); err == nil && !maps.Equal(m.known, m.fresh) {
		store.WriteFile(m.path, append(data, '\n'))
	}
}
