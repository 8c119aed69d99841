package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// auditInputs are the datasets of an audit, checked against the run's hashes.
type auditInputs struct {
	run struct {
		Options struct {
			Loss  string `json:"loss"`
			DType string `json:"dtype"`
		} `json:"options"`
		Version string            `json:"version"`
		ISA     string            `json:"isa"`
		Engines []AuditEngine     `json:"engines"`
		Hashes  map[string]string `json:"hashes"`
		Ledger  parquet.Ledger    `json:"ledger"`
		Steps   int               `json:"steps"`
	}
	audit                 *parquet.Dataset
	tokens, scores, after *parquet.Dataset // nil where there is none
	k                     int
	cuts                  *eaft.Cuts
	vocab                 *vocabulary
	missing               []string
}

func openAudit(o *AuditOptions) (*auditInputs, error) {
	in := &auditInputs{vocab: &vocabulary{}}
	path := store.Join(o.Run, "run.json")
	if err := readJSON(path, &in.run); errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%s: no such file: %s is no finished run of train", path, o.Run)
	} else if err != nil {
		return nil, err
	}
	if err := in.run.Ledger.Check(); err != nil {
		return nil, cli.Usagef("%s: %w", path, err)
	}
	var err error
	if in.audit, err = dataset(store.Join(o.Run, "audit"), parquet.SchemaAudit); err != nil {
		return nil, err
	}
	m := in.audit.Manifest
	if in.k = m.K; in.k < 2 {
		return nil, cli.Usagef("%s: k is %d, and gate entropies need 2 at least; train again in an empty folder", store.Join(in.audit.Dir, parquet.ManifestName), in.k)
	}
	for _, name := range []string{"model", "tokens", "scores"} {
		if have, want := m.Hashes[name], in.run.Hashes[name]; have != want {
			return nil, cli.Usagef("%s: hashes.%s is %q, but %s has %q: the audit is of another run", store.Join(in.audit.Dir, parquet.ManifestName), name, have, path, want)
		}
	}
	if in.tokens, err = in.open("--tokens", o.Tokens, m.Tokens, parquet.SchemaTokens, "sources, classes of tokens and texts are"); err != nil {
		return nil, err
	}
	if in.scores, err = in.open("--scores", o.Scores, m.Scores, parquet.SchemaScores, "conflicts and drift are"); err != nil {
		return nil, err
	}
	if in.after, err = in.open("--after", o.After, "", parquet.SchemaScores, ""); err != nil {
		return nil, err
	}
	if err := in.fit(o); err != nil {
		return nil, err
	}
	return in, in.spell()
}

func readJSON(path string, v any) error {
	data, err := store.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return cli.Usagef("%s: %w", path, err)
	}
	return nil
}

// open opens the dataset that a flag names, else the one that the audit's
// manifest does, if it is there. what names the loss where it is not.
func (in *auditInputs) open(flag, given, recorded, schema, what string) (*parquet.Dataset, error) {
	dir := given
	// The audit of a run with scores has what the base said itself.
	dispensable := what == "" || schema == parquet.SchemaScores && in.run.Hashes["scores"] != ""
	if dir == "" && recorded != "" {
		dir = store.Resolve(in.audit.Dir, recorded)
		if _, err := os.Stat(dir); !store.IsURL(dir) && errors.Is(err, fs.ErrNotExist) {
			if dispensable {
				return nil, nil
			}
			in.missing = append(in.missing, fmt.Sprintf("%s is not at %s any more, so %s not known; give it with %s", schema, dir, what, flag))
			return nil, nil
		}
	}
	if dir == "" {
		if !dispensable {
			in.missing = append(in.missing, fmt.Sprintf("no %s is given, so %s not known; give it with %s", schema, what, flag))
		}
		return nil, nil
	}
	return dataset(dir, schema)
}

// fit refuses datasets of other tokens, models or sizes than the run's.
func (in *auditInputs) fit(o *AuditOptions) error {
	run := store.Join(o.Run, "run.json")
	differs := func(dir, field, have, want string) error {
		if have == want || want == "" {
			return nil
		}
		return cli.Usagef("%s: %s is %q, but %s has %q", store.Join(dir, parquet.ManifestName), field, have, run, want)
	}
	if d := in.tokens; d != nil {
		hash, err := d.ContentHash()
		if err != nil {
			return err
		}
		if hash != in.run.Hashes["tokens"] {
			return cli.Usagef("%s: the hash of the tokens is %s, but %s has %s: give the tokens that were trained with --tokens", d.Dir, hash, run, in.run.Hashes["tokens"])
		}
	} else if o.Scores != "" || in.after != nil {
		return cli.Usagef("scores are joined with the tokens, which are not known: give their folder with --tokens")
	}
	for _, d := range []*parquet.Dataset{in.scores, in.after} {
		if d == nil {
			continue
		}
		m := d.Manifest
		model := in.run.Hashes["model"]
		if d == in.after {
			if adapted := parquet.AdaptedHash(model, o.Adapter); o.Adapter != "" && (o.Model == "" || m.Hashes["model"] == adapted) {
				model = adapted
			} else {
				model = o.Model
			}
		}
		err := cmp.Or(differs(d.Dir, "hashes.tokens", m.Hashes["tokens"], in.run.Hashes["tokens"]),
			differs(d.Dir, "k", fmt.Sprint(m.K), fmt.Sprint(in.k)))
		if err == nil && model != "" && m.Hashes["model"] != model {
			err = cli.Usagef("%s: hashes.model is %q, but the model is %q: --scores are by the model that training started from, --after by the one that it made", store.Join(d.Dir, parquet.ManifestName), m.Hashes["model"], model)
		}
		if rows := in.run.Ledger.RowsIn; err == nil && m.Limit > 0 && m.Limit < rows {
			err = cli.Usagef("%s: limit is %d, but the run has read %d rows: score all of these", store.Join(d.Dir, parquet.ManifestName), m.Limit, rows)
		}
		if err != nil {
			return err
		}
	}
	if in.scores != nil {
		if err := differs(in.scores.Dir, "the hash of the scores", in.scores.Manifest.ContentHash(), in.run.Hashes["scores"]); err != nil {
			return err
		}
	}
	return in.findCuts(o.Run)
}

// findCuts takes the base annotation's cuts from its manifest, else from what
// training kept of them.
func (in *auditInputs) findCuts(run string) error {
	var s struct {
		Cuts *eaft.Cuts `json:"cuts"`
	}
	if in.scores != nil {
		if err := json.Unmarshal(in.scores.Manifest.Summary, &s); err != nil || s.Cuts == nil {
			return cli.Usagef("%s: summary.cuts is missing: score the tokens again", store.Join(in.scores.Dir, parquet.ManifestName))
		}
		in.cuts = s.Cuts
		return nil
	}
	var sum struct {
		Conflicts *struct {
			Cuts *eaft.Cuts `json:"cuts"`
		} `json:"conflicts"`
	}
	if err := readJSON(store.Join(run, "summary.json"), &sum); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if sum.Conflicts != nil {
		in.cuts = sum.Conflicts.Cuts
	}
	return nil
}

// spell finds the vocabulary beside the scores, else beside the tokens.
func (in *auditInputs) spell() (err error) {
	if in.vocab, err = openVocabulary(in.scores, in.tokens, in.after); err == nil && in.tokens != nil && in.vocab.t == nil {
		in.missing = append(in.missing, "no _tokenizer.json lies beside the tokens or the scores, so classes of tokens and texts are not known")
	}
	return err
}

// auditMemory is what the rows of a part may take, some 256 bytes a row, 4 a
// token and 16 a target. Tests make it smaller.
var auditMemory int64 = 512 << 20

// parts is how many parts the rows are taken in: no more than there are visits,
// whatever the ledgers say.
func (in *auditInputs) parts() int {
	l := in.run.Ledger
	if l.RowsOut == 0 {
		l = in.audit.Manifest.Ledger
	}
	var visits int64
	for _, s := range in.audit.Manifest.Shards {
		visits += s.Rows
	}
	return int(max(1, min(visits, 1+(256*l.RowsOut+4*l.Tokens+16*l.Targets)/auditMemory)))
}

// curvePoints is at most how many points a curve has.
const curvePoints = 400

// readCurve reads metrics.jsonl; of long runs some steps make a point.
func readCurve(run string) ([]AuditPoint, error) {
	path := store.Join(run, "metrics.jsonl")
	f, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	points := []AuditPoint{} // sums while reading
	every := int64(1)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var m struct {
			Step       int64    `json:"step"`
			Loss       *float64 `json:"loss"`
			SFTLoss    *float64 `json:"sft_loss"`
			MeanWeight *float64 `json:"mean_weight"`
			GradNorm   *float64 `json:"grad_norm"`
			LR         *float64 `json:"lr"`
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, cli.Usagef("%s: line %d: %w", path, n, err)
		}
		if m.Loss == nil {
			continue // no optimizer step
		}
		or := func(x *float64) Num {
			if x == nil {
				return Num(math.NaN())
			}
			return Num(*x)
		}
		p := AuditPoint{m.Step, 1, or(m.Loss), or(m.SFTLoss), or(m.MeanWeight), or(m.GradNorm), or(m.LR)}
		if k := len(points); k > 0 && points[k-1].Steps < every {
			points[k-1].add(p)
			continue
		}
		if len(points) == curvePoints {
			for i := range curvePoints / 2 {
				points[i] = points[2*i]
				points[i].add(points[2*i+1])
			}
			points, every = points[:curvePoints/2], 2*every
		}
		points = append(points, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range points {
		p := &points[i]
		n := Num(p.Steps)
		p.Loss, p.SFTLoss, p.MeanWeight, p.GradNorm, p.LR = p.Loss/n, p.SFTLoss/n, p.MeanWeight/n, p.GradNorm/n, p.LR/n
	}
	return points, nil
}

func (p *AuditPoint) add(q AuditPoint) {
	p.Step, p.Steps = q.Step, p.Steps+q.Steps
	p.Loss, p.SFTLoss, p.MeanWeight, p.GradNorm, p.LR = p.Loss+q.Loss, p.SFTLoss+q.SFTLoss, p.MeanWeight+q.MeanWeight, p.GradNorm+q.GradNorm, p.LR+q.LR
}
