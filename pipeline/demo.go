package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"eaft/eaft"
	"eaft/examples/demo"
	"eaft/internal/store"
	"eaft/parquet"
)

// contradiction is how the ids of rows begin that contradict the demo model's
// world; see examples/demo/world.
const contradiction = "contradiction-"

// demoTraining is the same for both losses, so that the table compares them.
var demoTraining = []string{"--dtype", "f32", "--epochs", "6", "--lr", "3e-4", "--batch-tokens", "4096", "--seed", "1"}

// Demo runs the four stages on the demo's corpus and model in the folder out,
// and prints the conflict report, how many of the planted contradictions it
// found, and what fine-tuning with and without entropy weights did.
func Demo(ctx context.Context, r *Runner, out string) error {
	at := func(elem ...string) string { return filepath.Join(append([]string{out}, elem...)...) }
	if err := writeCorpora(at("corpora")); err != nil {
		return err
	}
	for _, name := range []string{"corpus", "target", "known"} {
		if err := r.Run(ctx, Stage{Program: "tokenize", Args: []string{"--model", "demo", "--out", at("tokens", name), at("corpora", name+".jsonl")}}); err != nil {
			return err
		}
	}
	tokens, scores := at("tokens", "corpus"), at("scores")
	if err := r.Run(ctx, Stage{Program: "scorer", Args: []string{"score", "--model", "demo", "--dtype", "f32", "--tokens", tokens, "--out", scores}}); err != nil {
		return err
	}
	for name, args := range map[string][]string{"report.txt": nil, "report.json": {"--json"}} {
		if err := r.save(ctx, at(name), Stage{Program: "scorer", Args: append([]string{"inspect", scores}, args...)}); err != nil {
			return err
		}
	}
	report, err := os.ReadFile(at("report.txt"))
	if err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "\n%s\n", report)

	found, err := findContradictions(scores)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.Out, "Of the %d rows that contradict the model's world the report flags %d (recall %.2f); of the %d rows it flags, %d contradict (precision %.2f).\n",
		found.planted, found.hits, ratio(found.hits, found.planted), found.flagged, found.hits, ratio(found.hits, found.flagged))

	models := []trained{{name: "base", model: "demo"}}
	for _, loss := range []string{"sft", "eaft"} {
		args := append([]string{"--model", "demo", "--tokens", tokens, "--scores", scores, "--loss", loss, "--out", at(loss)}, demoTraining...)
		if err := r.save(ctx, at(loss+".txt"), Stage{Program: "train", Args: args}); err != nil {
			return err
		}
		models = append(models, trained{name: loss, model: at(loss, "model")})
	}
	for i := range models {
		for name, loss := range map[string]*float64{"target": &models[i].target, "known": &models[i].known} {
			if *loss, err = r.heldOut(ctx, models[i].model, at("tokens", name)); err != nil {
				return err
			}
		}
	}
	table := lossTable(models)
	fmt.Fprintf(r.Out, "\n%s\nIn %s: corpora, tokens, scores, report.txt, report.json, table.txt, and the models sft/model and eaft/model.\n", table, out)
	return store.WriteFile(at("table.txt"), []byte(table))
}

// writeCorpora leaves what the demo reads where its user can look at it.
func writeCorpora(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fs.WalkDir(demo.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := demo.FS.ReadFile(name)
		if err != nil {
			return err
		}
		return store.WriteFile(filepath.Join(dir, name), data)
	})
}

// save runs a stage and keeps its standard output in a file. A finished stage
// that had nothing to do and said nothing leaves the file as it is.
func (r *Runner) save(ctx context.Context, path string, s Stage) error {
	var buf bytes.Buffer
	s.Out = &buf
	if err := r.Run(ctx, s); err != nil {
		return err
	}
	if buf.Len() == 0 {
		return nil
	}
	return store.WriteFile(path, buf.Bytes())
}

type found struct{ planted, flagged, hits int }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// findContradictions counts rows with a confident conflict at the annotation's
// own cuts, and which of them were planted.
func findContradictions(dir string) (f found, err error) {
	d, err := parquet.OpenDataset(dir, "scores/1")
	if err != nil {
		return f, err
	}
	var summary struct{ Cuts eaft.Cuts }
	if err := json.Unmarshal(d.Manifest.Summary, &summary); err != nil {
		return f, fmt.Errorf("%s: summary of the manifest: %w", dir, err)
	}
	for _, shard := range d.Shards {
		rows, err := parquet.OpenScores(shard)
		if err != nil {
			return f, err
		}
		defer rows.Close()
		for {
			var row parquet.ScoresRow
			if err := rows.Next(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return f, err
			}
			planted, flagged := strings.HasPrefix(row.ID, contradiction), false
			for i := range row.Pos {
				flagged = flagged || conflict(summary.Cuts, &row, i, d.Manifest.K)
			}
			f.planted += btoi(planted)
			f.flagged += btoi(flagged)
			f.hits += btoi(planted && flagged)
		}
	}
	return f, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// heldOut is the mean loss of a model on a dataset's trained targets, nats.
func (r *Runner) heldOut(ctx context.Context, model, tokens string) (float64, error) {
	var buf bytes.Buffer
	err := r.Run(ctx, Stage{Program: "train", Out: &buf,
		Args: []string{"eval", "--model", model, "--tokens", tokens, "--dtype", "f32", "--json"}})
	if err != nil {
		return 0, err
	}
	var result struct{ Loss *float64 }
	if err := json.Unmarshal(buf.Bytes(), &result); err != nil || result.Loss == nil {
		return 0, fmt.Errorf("train eval printed %q: no loss", buf.String())
	}
	return *result.Loss, nil
}

type trained struct {
	name, model   string
	target, known float64
}

func lossTable(models []trained) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "model\ttarget loss\theld-out loss on what the base knew\tforgotten\t")
	for _, m := range models {
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\t%+.4f\t\n", m.name, m.target, m.known, m.known-models[0].known)
	}
	w.Flush()
	return b.String()
}

// conflict reports whether target i of a row is a confident conflict.
func conflict(cuts eaft.Cuts, row *parquet.ScoresRow, i, k int) bool {
	return eaft.Target{LogProb: row.LogProb[i], Entropy: row.Entropy[i], TopKEntropy: row.TopKEntropy[i], TopKMass: row.TopKMass[i]}.Conflict(eaft.Renorm, k, cuts)
}
