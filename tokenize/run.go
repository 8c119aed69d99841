package tokenize

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/internal/version"
	"eaft/parquet"
)

const schema = "tokens/1"

// Made is a dataset of a run: the only one, or that of a split.
type Made struct {
	Dir      string
	Manifest *parquet.Manifest
}

// Run makes the dataset, or one for each split, and returns the manifests. A
// finished run of the same inputs and options is left as it is (again is true);
// of one that was stopped, only the missing shards are made.
func Run(ctx context.Context, l *Language, o Options) (made []Made, again bool, err error) {
	if err := o.check(); err != nil {
		return nil, false, err
	}
	r := &run{l: l.with(&o), o: &o, dirs: o.dirs()}
	for _, dir := range append(slices.Clone(r.dirs), o.Out) {
		if st, err := store.Stat(dir); err == nil && !st.Dir {
			return nil, false, cli.Usagef("--out %s: a file has this name; name a folder", dir)
		}
		if err := store.MkdirAll(dir); err != nil {
			return nil, false, err
		}
		if o.Only != nil {
			continue // others are at work here
		}
		if err := store.CleanTemps(dir); err != nil {
			return nil, false, err
		}
	}
	if o.Only == nil {
		defer r.tidy()
	}
	if r.sources, err = findSources(o.Inputs, o.Stdin, o.Out); err != nil {
		return nil, false, err
	}
	finished, err := r.read()
	if err != nil {
		return nil, false, err
	}
	if finished && o.Only != nil {
		return nil, true, nil
	}
	if finished {
		r.count = len(r.sets[0].manifest.Shards)
		if err := r.removeParts(); err != nil {
			return nil, false, err
		}
		if err := r.again(); err != nil {
			return nil, false, err
		}
	} else if err := r.shards(ctx); err != nil {
		return nil, false, err
	}
	if o.Only != nil {
		return nil, false, nil
	}
	for split, dir := range r.dirs {
		made = append(made, Made{dir, r.sets[split].manifest})
	}
	return made, finished, nil
}

// run is one pass over the inputs.
type run struct {
	l       *Language
	o       *Options
	sources []*source
	dirs    []string            // of the datasets, by split
	hashes  []map[string]string // by split
	sets    []*set              // by split
	dedup   *dedup              // nil: duplicates stay
	count   int                 // of shards
}

// set is a dataset as it grows.
type set struct {
	manifest *parquet.Manifest
	report   Report
}

func (s *set) add(info parquet.ShardInfo, ledger *parquet.Ledger, report *Report) {
	s.manifest.Shards = append(s.manifest.Shards, info)
	s.manifest.Ledger.Add(*ledger)
	s.report.Add(report)
}

// tidy removes what is of no use: spools, and folders in which nothing came to be.
func (r *run) tidy() {
	store.CleanTemps(r.o.Out)
	for _, dir := range append(slices.Clone(r.dirs), r.o.Out) {
		if !store.IsURL(dir) { // a bucket has no empty folders
			store.Remove(dir)
		}
	}
}

// read surveys the inputs and looks whether the run is finished already: then
// only the hashes of the inputs matter.
func (r *run) read() (finished bool, err error) {
	finished = true
	for _, dir := range r.dirs {
		m, err := parquet.ReadManifest(dir)
		if errors.Is(err, fs.ErrNotExist) {
			finished = false
			m = nil
		} else if err != nil {
			return false, err
		}
		r.sets = append(r.sets, &set{manifest: m})
	}
	var list [][2]string
	for _, s := range r.sources {
		if finished {
			s.hash, err = s.hashBytes()
		} else {
			err = r.survey(s)
		}
		if err != nil {
			return false, err
		}
		list = append(list, [2]string{s.name, s.hash})
	}
	source, err := json.Marshal(list)
	if err != nil {
		return false, err
	}
	for split, dir := range r.dirs {
		options, err := r.o.hash(r.o.splitName(split))
		if err != nil {
			return false, err
		}
		r.hashes = append(r.hashes, map[string]string{"tokenizer": r.l.Tokenizer.Fingerprint(), "template": r.l.templateHash(),
			"source": hashOf(source), "options": options})
		m := r.sets[split].manifest
		if m == nil {
			continue
		}
		if err := r.same(split, m.Schema, m.Hashes); err != nil {
			return false, err
		}
		if _, err := parquet.OpenDataset(dir, schema); err != nil {
			return false, err
		}
	}
	return finished, nil
}

// survey reads an input and says what it is.
func (r *run) survey(s *source) error {
	if err := s.survey(r.o.Map); err != nil {
		return err
	}
	records := "records"
	if s.records == 1 {
		records = "record"
	}
	fmt.Fprintf(r.o.Log, "%s: %s, %d %s: %s%s\n", s.name, s.container, s.records, records, s.layout, r.around(s.layout))
	s.layout.plainCalls = r.l.callsPlain()
	s.layout.plainWithTools = r.l.forTools(probeTool()).callsPlain()
	if tools := s.layout.fields["tools"]; s.layout.plainWithTools && tools != "" && !s.layout.absent["tools"] {
		fmt.Fprintf(r.o.Log, "%s: the chat template writes no tools: %s is left out, and function calls are written as their text\n", s.name, tools)
	}
	return nil
}

// around says what is put around rows that no chat template renders.
func (r *run) around(l *layout) string {
	if l.fields["text"] == "" && (l.fields["user"] == "" || r.l.chat != nil) {
		return ""
	}
	joined := ""
	if l.fields["text"] == "" {
		joined = "; the model has no chat template, so that prompt and completion are one text with nothing between them"
	}
	if r.o.NoSpecialTokens {
		return joined
	}
	before, after := r.l.Tokenizer.Decode(r.l.bounds.before), r.l.Tokenizer.Decode(r.l.bounds.after)
	switch {
	case after == "":
		return joined + "; no end-of-sequence token is known, so that rows have none"
	case before == "":
		return fmt.Sprintf("%s; each row ends with %s", joined, after)
	}
	return fmt.Sprintf("%s; each row begins with %s and ends with %s", joined, before, after)
}

// same refuses a folder that holds something made otherwise.
func (r *run) same(split int, have string, hashes map[string]string) error {
	if have != schema {
		return cli.Usagef("%s: holds a %s dataset; choose another --out", r.dirs[split], have)
	}
	for _, name := range []string{"source", "tokenizer", "template", "options"} {
		if hashes[name] != r.hashes[split][name] {
			return cli.Usagef("%s: was made with another %s; choose another --out or remove the folder", r.dirs[split], name)
		}
	}
	return nil
}

// shardBytes of records go into a shard where the user names no number: what a
// Parquet writer keeps for the footer grows with the file.
const shardBytes = 1 << 30

// shards makes what is missing.
func (r *run) shards(ctx context.Context) error {
	var total, size int64
	for _, s := range r.sources {
		s.first = total
		total += s.records
		size += s.size
	}
	r.count = r.o.Shards
	if r.count == 0 {
		r.count = int(min(size/shardBytes+1, total, maxShards))
	}
	n := int64(r.count)
	if n > total {
		return cli.Usagef("--shards %d: there are %d records", n, total)
	}
	var ends []int64
	for i := range n {
		ends = append(ends, total*(i+1)/n)
	}
	var err error
	if r.dedup, err = newDedup(r.o.Dedup, r.o.Out, r.placeName); err != nil {
		return err
	}
	defer r.dedup.close()
	for split := range r.dirs {
		r.sets[split].manifest = &parquet.Manifest{Schema: schema, Version: version.Version, Hashes: r.hashes[split]}
	}
	kept, err := r.kept()
	if err != nil {
		return err
	}
	if r.o.Only != nil {
		for i := range kept {
			kept[i] = kept[i] || !slices.Contains(r.o.Only, i)
		}
	}
	jobs, stop := r.jobs(ctx, ends, kept)
	defer stop()
	progress := cli.NewProgress(r.o.Log, "tokenize", "rows", total, 0)
	from := int64(0)
	for i, end := range ends {
		records := end - from
		from = end
		if kept[i] && r.o.Only != nil {
			continue
		}
		if kept[i] {
			if err := r.keep(i); err != nil {
				return err
			}
			continue
		}
		s, err := r.newSegment(i)
		if err != nil {
			return err
		}
		if err := s.fill(ctx, jobs, records, progress); err != nil {
			s.abort()
			return err
		}
		if err := s.commit(); err != nil {
			return err
		}
	}
	progress.Done()
	if r.o.Only != nil {
		return nil
	}
	return r.finish(total)
}

// placeName names a record by its number in all inputs.
func (r *run) placeName(place int64) string {
	for _, s := range r.sources {
		if place < s.first+s.records {
			return fmt.Sprintf("%s, record %d", s.name, place-s.first)
		}
	}
	return fmt.Sprintf("record %d", place)
}

// gate refuses a run that dropped more rows than --max-reject allows.
func (r *run) gate(all *parquet.Ledger, rejects string) error {
	unusable := maps.Clone(all.Dropped)
	maps.DeleteFunc(unusable, func(reason string, _ int64) bool { return wanted[reason] })
	n := int64(0)
	for _, k := range unusable {
		n += k
	}
	if share := float64(n) / float64(all.RowsIn); share > r.o.MaxReject {
		return cli.Gatef("%d of %d rows cannot be used (%.1f%%; --max-reject is %.1f%%): %s; %seach is named in %s. Mend them, or allow more with --max-reject",
			n, all.RowsIn, 100*share, 100*r.o.MaxReject, Reasons(unusable), r.firstOf(unusable), rejects)
	}
	return nil
}

// again applies the gate to a finished run, which may have been made with a wider one.
func (r *run) again() error {
	var all parquet.Ledger
	for split, s := range r.sets {
		report, err := Made{r.dirs[split], s.manifest}.report()
		if err != nil {
			return err
		}
		s.report = *report
		all.Add(s.manifest.Ledger)
	}
	return r.gate(&all, store.Join(r.dirs[0], "rejects.jsonl"))
}

// finish gathers the rejects, applies the gate and writes the manifests last.
func (r *run) finish(total int64) error {
	var all parquet.Ledger
	for split := range r.dirs {
		all.Add(r.sets[split].manifest.Ledger)
	}
	if err := all.Check(); err != nil || all.RowsIn != total {
		return fmt.Errorf("internal error: the inputs have %d records, the datasets account for %d (%v)", total, all.RowsIn, err)
	}
	var paths []string
	for split, dir := range r.dirs {
		paths = append(paths, store.Join(dir, "rejects.jsonl"))
		if err := r.gatherRejects(split, paths[split]); err != nil {
			return err
		}
	}
	if err := r.gate(&all, paths[0]); err != nil {
		return err
	}
	if all.RowsOut == 0 {
		return cli.Usagef("no row can be used: %s; %seach is named in %s", Reasons(all.Dropped), r.firstOf(all.Dropped), paths[0])
	}
	if err := r.weighted(); err != nil {
		return err
	}
	for split, dir := range r.dirs {
		if err := store.WriteFile(store.Join(dir, parquet.TokenizerName), r.l.Tokenizer.JSON()); err != nil {
			return err
		}
		s := r.sets[split]
		var err error
		if s.manifest.Summary, err = json.Marshal(&s.report); err != nil {
			return err
		}
		if err := parquet.WriteManifest(dir, s.manifest); err != nil {
			return err
		}
	}
	return r.removeParts()
}

// firstOf is the first record that was rejected for the most frequent reason.
func (r *run) firstOf(dropped map[string]int64) string {
	reasons := slices.Sorted(maps.Keys(dropped))
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(dropped[b], dropped[a]) })
	for _, reason := range reasons {
		for _, s := range r.sets {
			if e, ok := s.report.Examples[reason]; ok {
				return fmt.Sprintf("first %s: %s, record %d: %s; ", reason, e.Source, e.Row, e.Detail)
			}
		}
	}
	return ""
}

func (r *run) gatherRejects(split int, path string) (err error) {
	out, err := store.Create(path)
	if err != nil {
		return err
	}
	for i := range r.count {
		part, err := store.Open(r.rejectsPart(split, i))
		if err == nil {
			_, err = io.Copy(out, part)
			part.Close()
		}
		if err != nil {
			out.Abort()
			return err
		}
	}
	return out.Commit()
}

// removeParts ends a finished run; one that was killed here goes on with it.
func (r *run) removeParts() error {
	for i := range r.count {
		paths := []string{r.seenPart(i)}
		for split := range r.dirs {
			paths = append(paths, r.rejectsPart(split, i))
		}
		for _, path := range paths {
			if err := store.RemoveIfThere(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reasons spells a count by reason, the reasons in order.
func Reasons(dropped map[string]int64) string {
	var b bytes.Buffer
	for i, reason := range slices.Sorted(maps.Keys(dropped)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", dropped[reason], reason)
	}
	return b.String()
}
