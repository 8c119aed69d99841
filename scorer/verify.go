package scorer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// Verified says what Verify has looked at.
type Verified struct {
	Shards     int   `json:"shards"`
	Rows       int64 `json:"rows"`
	Targets    int64 `json:"targets"`    // scored
	Aligned    bool  `json:"aligned"`    // compared with their tokens
	Recomputed int64 `json:"recomputed"` // rows scored again and found bitwise equal
}

// slack is what float32 sums and logarithms may leave their ranges by.
const slack = 1e-4

// Verify checks a scores dataset against its manifest, its metadata, the ranges
// of its quantities, and its tokens where it finds them: tokens is their
// folder, "" where the manifest says. The first thing wrong is the error. log is told
// how far it is.
func Verify(ctx context.Context, dir, tokens string, log io.Writer) (v Verified, err error) {
	d, err := parquet.OpenDataset(dir, parquet.SchemaScores)
	if err != nil {
		return v, unusable(err)
	}
	if err := d.Verify(); err != nil {
		return v, unusable(err)
	}
	if err := sameTokenizer(d); err != nil {
		return v, err
	}
	t, err := tokensOf(d, tokens)
	if err != nil {
		return v, err
	}
	v.Aligned = t != nil
	var ledger parquet.Ledger
	progress := cli.NewProgress(log, "verify", "rows", rowsOf(d), 0)
	defer progress.Done()
	for i, path := range d.Shards {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		meta, err := parquet.ReadMeta(path)
		if err != nil {
			return v, unusable(err)
		}
		if err := sameMeta(path, meta, d.Manifest); err != nil {
			return v, err
		}
		ledger.Add(meta.Ledger)
		if err := v.shard(d, t, i, meta); err != nil {
			return v, err
		}
		progress.Add(d.Manifest.Shards[i].Rows, "")
	}
	where := store.Join(dir, parquet.ManifestName)
	if have, want := d.Manifest.Ledger, ledger; have.RowsIn != want.RowsIn || have.RowsOut != want.RowsOut || have.Tokens != want.Tokens || have.Targets != want.Targets {
		return v, cli.Usagef("%s: the ledger is %+v, but the shards' add up to %+v; score again in an empty folder", where, have, want)
	}
	if t != nil && d.Manifest.Summary != nil {
		sum, err := (&stats{k: d.Manifest.K, targets: Targets(d.Manifest.Targets), scores: d.Shards, tokens: t.Shards}).summary()
		if err != nil {
			return v, unusable(err)
		}
		var have Summary
		if err := json.Unmarshal(d.Manifest.Summary, &have); err != nil {
			return v, cli.Usagef("%s: summary: %w; score again in an empty folder", where, err)
		}
		if !have.fits(sum) {
			want, err := sum.json()
			if err != nil {
				return v, err
			}
			return v, cli.Usagef("%s: summary is %s, but the scores give %s; score again in an empty folder", where, d.Manifest.Summary, want)
		}
	}
	return v, nil
}

// sameTokenizer refuses a tokenizer beside scores that is not the one of their hash.
func sameTokenizer(d *parquet.Dataset) error {
	path := store.Join(d.Dir, parquet.TokenizerName)
	data, err := store.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := tokenizer.FromJSON(data)
	if err != nil {
		return cli.Usagef("%s: %w; copy the one that made the ids there", path, err)
	}
	if have, want := t.Fingerprint(), d.Manifest.Hashes["tokenizer"]; want != "" && have != want {
		return cli.Usagef("%s: it has the hash %s where hashes.tokenizer in %s is %s; copy the one that made the ids there", path, have, parquet.ManifestName, want)
	}
	return nil
}

// rowsOf is how many rows a dataset with a manifest has.
func rowsOf(d *parquet.Dataset) (n int64) {
	for _, s := range d.Manifest.Shards {
		n += s.Rows
	}
	return n
}

// tokensOf opens the tokens of scores; nil where the manifest names none that exist.
func tokensOf(d *parquet.Dataset, dir string) (*parquet.Dataset, error) {
	asked := dir != ""
	if !asked && d.Manifest.Tokens != "" {
		dir = store.Resolve(d.Dir, d.Manifest.Tokens)
	}
	if dir == "" {
		return nil, nil
	}
	t, err := parquet.OpenDataset(dir, parquet.SchemaTokens)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%s: the tokens of these scores are not there: %w; give their folder with --tokens", d.Dir, err)
	}
	if err != nil {
		return nil, unusable(err)
	}
	if err := t.Verify(); err != nil {
		return nil, unusable(err)
	}
	have, err := t.ContentHash()
	if err != nil {
		return nil, unusable(err)
	}
	if want := d.Manifest.Hashes["tokens"]; want != "" && have != want {
		return nil, cli.Usagef("%s: hashes.tokens is %s, but the tokens in %s are %s; give the tokens that were scored with --tokens", store.Join(d.Dir, parquet.ManifestName), want, dir, have)
	}
	if len(t.Shards) != len(d.Shards) {
		return nil, cli.Usagef("%s: %d shards, but %s has %d; give the tokens that were scored with --tokens", d.Dir, len(d.Shards), dir, len(t.Shards))
	}
	return t, nil
}

// sameMeta compares what a shard and the manifest say of how they were made.
func sameMeta(path string, have parquet.Meta, m *parquet.Manifest) error {
	fields := []struct{ name, have, want string }{
		{"schema", have.Schema, m.Schema}, {"k", fmt.Sprint(have.K), fmt.Sprint(m.K)}, {"store_topk", fmt.Sprint(have.StoreTopK), fmt.Sprint(m.StoreTopK)}, {"isa", have.ISA, m.ISA}, {"dtype", have.DType, m.DType}, {"numerics", fmt.Sprint(have.Numerics), fmt.Sprint(m.Numerics)}, {"targets", have.Targets, m.Targets},
	}
	names := map[string]bool{}
	for n := range have.Hashes {
		names[n] = true
	}
	for n := range m.Hashes {
		names[n] = true
	}
	for n := range names {
		fields = append(fields, struct{ name, have, want string }{"hash." + n, have.Hashes[n], m.Hashes[n]})
	}
	for _, f := range fields {
		if f.have != f.want {
			return cli.Usagef("%s: metadata eaft.%s is %q, but the manifest says %q; the shard belongs to another run, score again in an empty folder", path, f.name, f.have, f.want)
		}
	}
	return nil
}

// shard checks every row of a shard.
func (v *Verified) shard(d, t *parquet.Dataset, i int, meta parquet.Meta) error {
	path := d.Shards[i]
	r, err := parquet.OpenScores(path)
	if err != nil {
		return unusable(err)
	}
	defer r.Close()
	if want := d.Manifest.Shards[i].Rows; r.NumRows() != want {
		return cli.Usagef("%s: %d rows where the manifest says %d; score again in an empty folder", path, r.NumRows(), want)
	}
	var tokens *parquet.TokensReader
	if t != nil {
		if tokens, err = parquet.OpenTokens(t.Shards[i]); err != nil {
			return unusable(err)
		}
		defer tokens.Close()
		if n := tokens.NumRows(); n < r.NumRows() || n > r.NumRows() && d.Manifest.Limit == 0 {
			return cli.Usagef("%s: %d rows, but %s has %d; give the tokens that were scored with --tokens", t.Shards[i], n, path, r.NumRows())
		}
	}
	v.Shards++
	o := Options{Targets: Targets(d.Manifest.Targets)}
	for row := int64(0); ; row++ {
		var s parquet.ScoresRow
		if err := r.Next(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return unusable(err)
		}
		if err := inRange(&s, d.Manifest.K); err != nil {
			return cli.Usagef("%s: row %d (id %q): %w; score again in an empty folder", path, row, s.ID, err)
		}
		v.Rows++
		v.Targets += int64(len(s.Pos))
		if tokens == nil {
			continue
		}
		var tok parquet.TokensRow
		if err := tokens.Next(&tok); err != nil {
			return unusable(err)
		}
		want := newTask(&tok, o.positions(&tok)).out
		switch {
		case s.ID != want.ID:
			return cli.Usagef("%s: row %d: id is %q, but the tokens have %q", path, row, s.ID, want.ID)
		case !slices.Equal(s.Pos, want.Pos):
			return cli.Usagef("%s: row %d (id %q): pos has %d targets and is not the row's %d %s ones", path, row, s.ID, len(s.Pos), len(want.Pos), d.Manifest.Targets)
		case !slices.Equal(s.Token, want.Token):
			return cli.Usagef("%s: row %d (id %q): token differs from the input_ids of %s", path, row, s.ID, t.Shards[i])
		}
	}
	return nil
}

// inRange checks what holds for every distribution.
func inRange(s *parquet.ScoresRow, k int) error {
	top := math.Log(float64(k)) + slack
	for j := range s.Pos {
		lp, e, te, mass, t1 := float64(s.LogProb[j]), float64(s.Entropy[j]), float64(s.TopKEntropy[j]), float64(s.TopKMass[j]), float64(s.Top1LogProb[j])
		name, value := "", 0.0
		switch { // negated, so that NaN is outside
		case !(lp <= slack) || math.IsInf(lp, 0):
			name, value = "logprob", lp
		case !(e >= -slack) || math.IsInf(e, 0):
			name, value = "entropy", e
		case !(te >= -slack && te <= top):
			name, value = "topk_entropy", te
		case !(mass > 0 && mass <= 1+slack):
			name, value = "topk_mass", mass
		case !(t1 <= slack && t1 >= lp-slack):
			name, value = "top1_logprob", t1
		case s.Rank[j] < 0:
			name, value = "rank", float64(s.Rank[j])
		case s.Top1ID[j] < 0 || s.Rank[j] > 0 && s.Top1ID[j] == s.Token[j]:
			name, value = "top1_id", float64(s.Top1ID[j])
		}
		ids, logProbs := s.TopK(j)
		for n, id := range ids {
			l := logProbs[n]
			switch {
			case id < 0 || n == 0 && id != s.Top1ID[j] || slices.Contains(ids[:n], id):
				name, value = "topk_id", float64(id)
			case math.IsInf(float64(l), 0) || n == 0 && l != s.Top1LogProb[j] || n > 0 && !(l <= logProbs[n-1]):
				name, value = "topk_logprob", float64(l)
			}
		}
		if name != "" {
			return fmt.Errorf("%s at pos %d is %v, outside of what it can be", name, s.Pos[j], value)
		}
	}
	return nil
}

// Recompute scores n rows again, spread evenly, and compares bit for bit. adapter
// is nil where the scores are of the model alone.
func Recompute(ctx context.Context, dev compute.Device, c, adapter *weights.Checkpoint, dir, tokens string, n int64, v *Verified, log io.Writer) error {
	d, err := parquet.OpenDataset(dir, parquet.SchemaScores)
	if err != nil {
		return unusable(err)
	}
	m := d.Manifest
	where := store.Join(dir, parquet.ManifestName)
	t, err := tokensOf(d, tokens)
	if err != nil {
		return err
	}
	if t == nil {
		return cli.Usagef("%s: it names no tokens, and they are what is scored again; give their folder with --tokens", where)
	}
	hash, err := identity(c, adapter)
	if err != nil {
		return err
	}
	dtype, err := compute.ParseDType(m.DType)
	if err != nil {
		return cli.Usagef("%s: dtype: %w", where, err)
	}
	switch {
	case hash != m.Hashes["model"]:
		return cli.Usagef("%s: hashes.model is %s, but %s is %s; give the model that scored with --model, and its --adapter if it had one", where, m.Hashes["model"], c.Ref(), hash)
	case m.Numerics != Numerics:
		return cli.Usagef("%s: numerics is %d, this program has %d, whose scores differ in their last bits; verify with the eaft that scored (%s)", where, m.Numerics, Numerics, m.Version)
	case dev.ISA() != m.ISA:
		return cli.Usagef("%s: isa is %q, this run has %q, whose scores differ in their last bits; set EAFT_CPU=%s", where, m.ISA, dev.ISA(), m.ISA)
	}
	mod, err := load(dev, c, adapter, dtype)
	if err != nil {
		return err
	}
	rows, at := v.Rows, int64(0)
	n = min(n, rows)
	progress := cli.NewProgress(log, "score again", "rows", n, 0)
	defer progress.Done()
	for i, path := range d.Shards {
		s, err := parquet.OpenScores(path)
		if err != nil {
			return unusable(err)
		}
		defer s.Close()
		r, err := parquet.OpenTokens(t.Shards[i])
		if err != nil {
			return unusable(err)
		}
		defer r.Close()
		for range m.Shards[i].Rows {
			var score parquet.ScoresRow
			var row parquet.TokensRow
			if err := cmp.Or(s.Next(&score), r.Next(&row)); err != nil {
				return unusable(err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			// The row is taken where the running share of n gains a whole.
			if take := (at+1)*n/rows > at*n/rows; take {
				if err := recomputeRow(mod, m, path, at, &score, &row); err != nil {
					return err
				}
				v.Recomputed++
				progress.Add(1, "")
			}
			at++
		}
	}
	return nil
}

func recomputeRow(mod *model.Model, m *parquet.Manifest, path string, i int64, have *parquet.ScoresRow, row *parquet.TokensRow) error {
	if err := checkRow(path, row, mod.Spec()); err != nil {
		return err
	}
	o := Options{Targets: Targets(m.Targets)}
	t := newTask(row, o.positions(row))
	if len(t.ids) == 0 {
		return nil
	}
	b, _ := nextBatch([]*task{&t}, DefaultBudget, true)
	if err := b.run(mod, m.K, m.StoreTopK); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, f := range []struct {
		name       string
		have, want []float32
	}{{"logprob", have.LogProb, t.out.LogProb}, {"entropy", have.Entropy, t.out.Entropy}, {"topk_entropy", have.TopKEntropy, t.out.TopKEntropy},
		{"topk_mass", have.TopKMass, t.out.TopKMass}, {"top1_logprob", have.Top1LogProb, t.out.Top1LogProb}} {
		for j := range f.want {
			if math.Float32bits(f.have[j]) != math.Float32bits(f.want[j]) {
				return cli.Usagef("%s: row %d of the dataset (id %q): %s at pos %d is %v, the model gives %v", path, i, have.ID, f.name, have.Pos[j], f.have[j], f.want[j])
			}
		}
	}
	for n, want := range t.out.TopKLogProb {
		if math.Float32bits(have.TopKLogProb[n]) != math.Float32bits(want) || have.TopKID[n] != t.out.TopKID[n] {
			return cli.Usagef("%s: row %d of the dataset (id %q): entry %d of topk_id and topk_logprob is %d with %v, the model gives %d with %v",
				path, i, have.ID, n, have.TopKID[n], have.TopKLogProb[n], t.out.TopKID[n], want)
		}
	}
	if !slices.Equal(have.Rank, t.out.Rank) || !slices.Equal(have.Top1ID, t.out.Top1ID) {
		return cli.Usagef("%s: row %d of the dataset (id %q): rank or top1_id is not what the model gives", path, i, have.ID)
	}
	return nil
}
