package pipeline

import (
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// checkMix refuses a train.mix that names a source which no corpus is, or leaves no
// source. What else is wrong with it says train, which is asked before the first stage.
func (c *Config) checkMix() error {
	if c.Train == nil {
		return nil
	}
	opt := c.Train.find("mix")
	if opt == nil {
		return nil
	}
	weights := map[string]float64{}
	var named []string
	for part := range strings.SplitSeq(opt.Values[0], ",") {
		i := strings.LastIndexByte(part, '=')
		w, err := strconv.ParseFloat(part[i+1:], 64)
		if i < 0 || err != nil {
			return nil
		}
		weights[part[:i]] = w
		named = append(named, part[:i])
	}
	sources := c.sources()
	if len(sources) == 0 {
		return nil
	}
	for _, name := range named {
		if !slices.Contains(sources, name) {
			return cli.Usagef("%s: train.mix: no row can have the source %q, for no corpus has this name%s", opt.Where, name, nearest(name, sources))
		}
	}
	if !slices.ContainsFunc(sources, func(name string) bool { w, ok := weights[name]; return !ok || w > 0 }) {
		return cli.Usagef("%s: train.mix leaves no row to train on: give a source a weight above 0", opt.Where)
	}
	return nil
}

// sources are the names that the rows of the corpora have as their source: that of
// their file or, of a folder, its path in there, some of which may be no data. None if
// a corpus cannot be found, which the plan says.
func (c *Config) sources() (names []string) {
	for _, p := range c.Corpora {
		full := c.at(p)
		if st, err := store.Stat(full); err == nil && st.Dir {
			if store.Walk(full, func(name string, _ int64) { names = append(names, name) }) != nil {
				return nil
			}
			continue
		}
		paths, _, err := c.find(p)
		if err != nil || len(paths) == 0 {
			return nil
		}
		for _, path := range paths {
			names = append(names, store.Base(path))
		}
	}
	return names
}
