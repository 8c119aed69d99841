package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

// Files of a run's folder and of a step's.
const (
	recordName = "record.json" // of a step
	stateName  = "state.json"  // of the run
	lastName   = "last.json"   // of the run
	logName    = "log.txt"     // of a step
)

// Record is what became of a step, in its folder.
type Record struct {
	Step     string            `json:"step"`
	Key      string            `json:"key"`
	Parts    map[string]string `json:"parts"`
	Command  []string          `json:"command"`
	Version  string            `json:"version"` // of the program that ran last
	Done     bool              `json:"done"`
	Results  map[string]string `json:"results,omitempty"` // hashes of the files that complete it
	Attempts []Attempt         `json:"attempts"`
}

// Attempt is one execution of a step. One that was killed has no end.
type Attempt struct {
	Started    time.Time `json:"started"`
	Host       string    `json:"host"`
	Workers    int       `json:"workers"`
	Ended      bool      `json:"ended"`
	Seconds    float64   `json:"seconds"`
	Exit       int       `json:"exit"`
	PeakMemory int64     `json:"peak_memory"` // bytes, of the largest process
}

// lastRun is what the last run in the folder was told beside its file.
type lastRun struct {
	Set []string `json:"set,omitempty"`
}

// lastSet is that of the last run; nil: not known.
func (p *Pipeline) lastSet() *lastRun {
	var last lastRun
	if readJSON(p.at(p.Out, lastName), &last) != nil {
		return nil // nothing depends on it
	}
	return &last
}

func (p *Pipeline) keepSet() error {
	if last := p.lastSet(); last != nil && slices.Equal(last.Set, p.Set) {
		return nil
	}
	return writeJSON(p.at(p.Out, lastName), lastRun{p.Set})
}

func readJSON(path string, v any) error {
	data, err := store.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w; remove it", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteFile(path, append(data, '\n'))
}

// record is what is known of the step; an empty one if nothing is.
func (c *Config) record(s *Step) (*Record, error) {
	r := &Record{}
	err := readJSON(c.at(s.Folder, recordName), r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = r.check(c.at(s.Folder, recordName))
	}
	if err == nil && r.Key != "" && r.Key != s.Key {
		err = cli.Usagef("%s: is of %s with the key %s, not of %s; remove the folder", c.at(s.Folder, recordName), r.Step, brief(r.Key), brief(s.Key))
	}
	r.Step, r.Key, r.Parts, r.Version = s.Name, s.Key, s.Parts, version.Version
	r.Command = append([]string{s.Program}, s.Args...)
	return r, err
}

// maxSeconds is longer than anything takes.
const maxSeconds = 1e12

// check refuses times and sizes that cannot be.
func (r *Record) check(path string) error {
	for i, a := range r.Attempts {
		if !(a.Seconds >= 0 && a.Seconds < maxSeconds) || a.PeakMemory < 0 {
			return fmt.Errorf("%s: attempts[%d] took %v seconds and %d bytes; remove it", path, i, a.Seconds, a.PeakMemory)
		}
	}
	return nil
}

// results are the hashes of the files that complete a step.
func (c *Config) results(s *Step) (map[string]string, error) {
	out := map[string]string{}
	for _, m := range s.Markers {
		h, err := store.Hash(c.at(s.Folder, m))
		if err != nil {
			return nil, err
		}
		out[m] = h
	}
	return out, nil
}

// damage says what of a finished step's result is no longer as it was: its
// closing files by their hashes, shards by their sizes or, if thorough, by their
// hashes. "" is whole.
func (c *Config) damage(s *Step, r *Record, thorough bool) (string, error) {
	for _, m := range s.Markers {
		path := c.at(s.Folder, m)
		h, err := store.Hash(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path + " is gone", nil
		}
		if err != nil {
			return "", err
		}
		if h != r.Results[m] {
			return path + " was changed", nil
		}
		if s.Schema == "" {
			continue
		}
		bad, err := badShards(store.Dir(path), s.Schema, thorough)
		if err != nil {
			return "", err
		}
		if len(bad) > 0 {
			return bad[0] + " is not what its manifest says", nil
		}
	}
	return "", nil
}

// badShards are those of a dataset that differ from its manifest.
func badShards(dir, schema string, thorough bool) (bad []string, err error) {
	m, err := parquet.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	sizes, err := store.Sizes(dir)
	if err != nil {
		return nil, err
	}
	for _, info := range m.Shards {
		path := store.Join(dir, info.Name)
		if size, ok := sizes[info.Name]; !ok || size != info.Bytes {
			bad = append(bad, path)
			continue
		}
		if !thorough {
			continue
		}
		sum, err := store.Hash(path)
		if err != nil {
			return nil, err
		}
		if sum != info.SHA256 {
			bad = append(bad, path)
		}
	}
	return bad, nil
}

// mend removes what is damaged, so that the stage makes it again and nothing else. A
// training is one thing: without its record train takes none of the rest for its own.
func (c *Config) mend(s *Step) error {
	if s.kind == "train" {
		return store.RemoveAll(c.at(s.out()))
	}
	for _, m := range s.Markers {
		path := c.at(s.Folder, m)
		if s.Schema != "" {
			bad, err := badShards(store.Dir(path), s.Schema, true)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				bad = nil // the manifest itself: the stage looks at the shards
			}
			for _, b := range bad {
				if err := store.RemoveIfThere(b); err != nil {
					return err
				}
			}
		}
		if err := store.RemoveIfThere(path); err != nil {
			return err
		}
	}
	return nil
}
