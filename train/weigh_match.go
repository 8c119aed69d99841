package train

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// openMatch reads the mean weight of each step of the finished run that
// --match-step names. The loss's denominator ignores the weights, so that a run
// with weights takes smaller steps than sft; sft with its learning rate scaled
// by them is the control that takes steps of the same size.
func (in *inputs) openMatch(o *Options) error {
	data, err := store.ReadFile(store.Join(o.MatchStep, RecordName))
	if err != nil {
		return cli.Usagef("--match-step: %w: name the folder of a finished run", err)
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return cli.Usagef("--match-step: %s: %w", store.Join(o.MatchStep, RecordName), err)
	}
	if rec.Options.Normalize == NormalizeWeights {
		return cli.Usagef("--match-step: %s was trained with --normalize weights, which does not lower its steps: compare it with sft as it is", o.MatchStep)
	}
	path := store.Join(o.MatchStep, MetricsName)
	f, err := store.Open(path)
	if err != nil {
		return cli.Usagef("--match-step: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var m struct {
			Step       int
			MeanWeight *float64 `json:"mean_weight"`
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return cli.Usagef("--match-step: %s: line %d: %w", path, n, err)
		}
		if m.Step != n {
			return cli.Usagef("--match-step: %s: line %d: step is %d", path, n, m.Step)
		}
		if m.MeanWeight == nil || !(*m.MeanWeight >= 0) || math.IsInf(*m.MeanWeight, 0) {
			return cli.Usagef("--match-step: %s: line %d: mean_weight is missing, or not a number >= 0", path, n)
		}
		in.match = append(in.match, *m.MeanWeight)
		fmt.Fprintln(hash, math.Float64bits(*m.MeanWeight))
	}
	if err := lines.Err(); err != nil {
		return cli.Usagef("--match-step: %s: %w", path, err)
	}
	in.hashes["match_step"] = fmt.Sprintf("sha256:%x", hash.Sum(nil))
	return nil
}

// matches checks that the named run has as many steps as this one.
func (in *inputs) matches(o *Options, steps int) error {
	if o.MatchStep != "" && len(in.match) != steps {
		return cli.Usagef("--match-step: %s has %d steps, but this run has %d: give both the same rows, --batch-tokens and --epochs or --steps",
			store.Join(o.MatchStep, MetricsName), len(in.match), steps)
	}
	return nil
}

// matched is the learning rate lr of step i, counted from 0, scaled to the named
// run's mean weight.
func (in *inputs) matched(lr float64, i int) float64 {
	if in.match == nil {
		return lr
	}
	return lr * in.match[i]
}
