package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// Values of Options.Resume beside the folder of a checkpoint.
const (
	ResumeAuto = "auto"
	ResumeNone = "none"
)

// checkResume reports what is wrong about the options of checkpoints.
func (o *Options) checkResume() error {
	switch {
	case o.SaveEvery < 0:
		return cli.Usagef("--save-every %d: at least 1, or 0 for a checkpoint every %v", o.SaveEvery, saveInterval)
	case o.Keep < 1:
		return cli.Usagef("--keep %d: at least 1", o.Keep)
	case o.Resume == "":
		return cli.Usagef("--resume is empty: auto, none, or the folder of a checkpoint")
	}
	return nil
}

// damaged is a reason for which a checkpoint is not whole.
type damaged string

func (d damaged) Error() string { return string(d) }

// checkpoints are the steps of the checkpoints in dir, newest first.
func checkpoints(dir string) ([]int, error) {
	entries, err := store.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if n, ok := stepOf(e.Name); ok && e.Dir {
			steps = append(steps, n)
		}
	}
	slices.SortFunc(steps, func(a, b int) int { return b - a })
	return steps, nil
}

// choose finds the checkpoint that o goes on from; "" means that there is none
// and the run starts anew. Checkpoints that are not whole are named in warnings.
func choose(o *Options, now *Record) (at string, s *state, err error) {
	if o.Resume == ResumeNone {
		return "", nil, nil
	}
	dir := store.Join(o.Out, CheckpointsName)
	steps, err := checkpoints(dir)
	if err != nil {
		return "", nil, err
	}
	if o.Resume != ResumeAuto {
		n, ok := stepOf(store.Base(o.Resume))
		if !ok || !sameFolder(store.Dir(o.Resume), dir) {
			return "", nil, cli.Usagef("--resume %s: not a checkpoint of --out, which lie in %s: a run goes on in its own folder, or in a copy of all of it", o.Resume, dir)
		}
		steps = []int{n}
	}
	if len(steps) > 0 {
		if err := o.remote.fetch(MetricsName, EvalName, AuditName, BestName); err != nil {
			return "", nil, err
		}
	}
	for _, n := range steps {
		shown := store.Join(dir, stepName(n))
		if err := o.remote.fetch(path.Join(CheckpointsName, stepName(n))); err != nil {
			return "", nil, err
		}
		at := filepath.Join(o.dir, CheckpointsName, stepName(n))
		s, err := readCheckpoint(o, at, now)
		var d damaged
		switch {
		case errors.As(err, &d) && o.Resume != ResumeAuto:
			return "", nil, cli.Usagef("--resume %s: not whole: %w: name another one, or use --resume auto", o.Resume, err)
		case errors.As(err, &d):
			fmt.Fprintf(o.Stderr, "warning: %s is not whole: %s: passed over\n", shown, strings.ReplaceAll(err.Error(), o.dir, o.Out))
			continue
		case err == nil && o.remote != nil:
			o.remote.from, o.remote.newest = n, n
		}
		return at, s, err
	}
	return "", nil, nil
}

// sameFolder reports whether two names are of one folder.
func sameFolder(a, b string) bool {
	if store.Same(a, b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// readCheckpoint checks that the checkpoint at path is whole, down to every bit of
// it and of what it needs beside it, and of this run.
func readCheckpoint(o *Options, path string, now *Record) (*state, error) {
	data, err := os.ReadFile(filepath.Join(path, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(manifestFile + " is missing")
	}
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, damaged(fmt.Sprintf("%s: %v", manifestFile, err))
	}
	files := map[string]stored{}
	for _, f := range m.Files {
		files[f.Name] = f
	}
	// The small file first: whose run it is decides whether the rest matters.
	var s *state
	for _, name := range []string{stateFile, visitsFile, mastersFile, momentsFile} {
		if err := files[name].check(path, name); err != nil {
			return nil, err
		}
		if name != stateFile {
			continue
		}
		if data, err = os.ReadFile(filepath.Join(path, name)); err != nil {
			return nil, err
		}
		s = &state{}
		if err := json.Unmarshal(data, s); err != nil {
			return nil, damaged(fmt.Sprintf("%s: %v", name, err))
		}
		if err := s.Record.same(now, strings.Replace(path, o.dir, o.Out, 1)+" is of a run", "give the same options, or --resume none to start anew"); err != nil {
			return nil, err
		}
	}
	if n, _ := stepOf(filepath.Base(path)); n != s.Step || s.Step < 1 {
		return nil, damaged(fmt.Sprintf("%s is of step %d", stateFile, s.Step))
	}
	if s.Summary == nil || s.Summary.Steps != s.Step || (s.Summary.Conflicts != nil) != (now.Hashes["scores"] != "") {
		return nil, damaged(fmt.Sprintf("the summary in %s is not of step %d of this run", stateFile, s.Step))
	}
	if err := s.Metrics.check(filepath.Join(o.dir, MetricsName)); err != nil {
		return nil, err
	}
	if s.Evals.Bytes > 0 {
		if err := s.Evals.check(filepath.Join(o.dir, EvalName)); err != nil {
			return nil, err
		}
	}
	return s, s.Audit.check(filepath.Join(o.dir, AuditName))
}

// check compares a file with what the manifest says of it.
func (f stored) check(dir, name string) error {
	st, err := os.Lstat(filepath.Join(dir, name))
	switch {
	case f.Name == "":
		return damaged(fmt.Sprintf("%s does not list %s", manifestFile, name))
	case errors.Is(err, fs.ErrNotExist):
		return damaged(name + " is missing")
	case err != nil:
		return err
	case !st.Mode().IsRegular() || st.Size() != f.Bytes:
		return damaged(fmt.Sprintf("%s has %d bytes, not %d", name, st.Size(), f.Bytes))
	}
	got, err := store.Hash(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if got != f.SHA256 {
		return damaged(fmt.Sprintf("%s was changed: its hash is not the manifest's", name))
	}
	return nil
}

// unfinishedName marks a folder as that of a run that has begun. What stands in
// a folder without it is somebody else's and is left alone.
const unfinishedName = "_unfinished"

// ours are the files of a run that has begun.
var ours = []string{RejectsName, MetricsName, SummaryName, AuditName, ModelName, CheckpointsName, EventsName, EvalName, BestName, BestName + ".tmp", AdapterName}

// survey finds the checkpoint to go on from, "" if there is none, and what an
// unfinished run left that prepare is to remove. It refuses a folder whose files no
// run of ours has begun, and writes nothing there.
func survey(o *Options, now *Record) (at string, s *state, left []string, err error) {
	entries, err := store.ReadDir(o.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil, err
	}
	begun := false
	for _, e := range entries {
		begun = begun || e.Name == unfinishedName
		if slices.Contains(ours, e.Name) {
			left = append(left, e.Name)
		}
	}
	if !begun && len(left) > 0 {
		return "", nil, nil, cli.Usagef("--out %s: %s is there already and is not of an unfinished run: choose another --out", o.Out, store.Join(o.Out, left[0]))
	}
	if at, s, err = choose(o, now); err != nil {
		return "", nil, nil, err
	}
	if at != "" {
		left = []string{SummaryName, ModelName, AdapterName} // made at the end, from what follows
	}
	return at, s, left, nil
}

// prepare removes what an unfinished run left, marks the folder as that of a run
// that has begun, and writes the rejects; anew says that it goes on from no
// checkpoint.
func prepare(o *Options, set *rowSet, left []string, anew bool) error {
	// Rejects alone are of a run that --max-reject refused, or that made no step.
	if anew && slices.ContainsFunc(left, func(name string) bool { return name != RejectsName }) {
		fmt.Fprintf(o.Stderr, "%s holds an unfinished run; starting anew\n", o.Out)
	}
	for _, name := range left {
		if err := os.RemoveAll(filepath.Join(o.dir, name)); err != nil {
			return err
		}
	}
	if err := cleanTemps(o.dir); err != nil {
		return err
	}
	if err := store.WriteFile(filepath.Join(o.dir, unfinishedName), nil); err != nil {
		return cli.Usagef("--out: %w", err)
	}
	if err := set.writeRejects(o.dir); err != nil {
		return err
	}
	return o.remote.push()
}

// cleanTemps removes what killed runs left half written.
func cleanTemps(out string) error {
	if err := store.CleanTemps(out); err != nil {
		return err
	}
	dir := filepath.Join(out, CheckpointsName)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, ".step-") && strings.HasSuffix(n, hiddenSuffix) {
			if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
