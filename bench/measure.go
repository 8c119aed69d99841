package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"eaft/internal/machine"
	"eaft/internal/version"
	"eaft/parquet"
)

// The three kinds of work.
const (
	scoreAll     = "score-all"
	scoreTrained = "score-trained"
	fit          = "train"
)

var works = []string{scoreAll, scoreTrained, fit}

// The tools.
const (
	ours     = "eaft"
	torchAll = "PyTorch + transformers"
	torch    = "PyTorch + transformers, head on the targets only"
	llama    = "llama.cpp"
)

// torches are the ways that PyTorch does a work: with logits for every position,
// as the trainers in use do, and with the head where it is needed only.
func torches(work string) []string {
	if work == scoreAll {
		return []string{torchAll} // needed everywhere
	}
	return []string{torchAll, torch}
}

// measurement is one run of one tool.
type measurement struct {
	Work        string   `json:"work"`
	Tool        string   `json:"tool"`
	Batch       int      `json:"batch,omitempty"` // tokens of the rival's batches
	Round       int      `json:"round"`
	Rows        int      `json:"rows"`
	Vocabulary  int      `json:"vocabulary,omitempty"` // if it is not the model's own
	Rate        float64  `json:"tokens_per_second"`    // loading excluded
	Wall        float64  `json:"wall_seconds"`         // of the whole program
	Memory      int64    `json:"peak_memory"`
	MeanLogProb *float64 `json:"mean_logprob,omitempty"` // of trained targets
}

// bench is one run of the command.
type bench struct {
	ctx    context.Context
	o      *options
	report report
	llama  bool
}

// data is a corpus as tokens.
type data struct {
	model, tokens, rows string // folder, dataset, JSON Lines for the rivals
	n, vocab            int
}

func newBench(ctx context.Context, o *options) (*bench, error) {
	b := &bench{ctx: ctx, o: o, llama: o.gguf != "" && o.python != ""}
	b.report = report{CPU: machine.CPU(), Cores: runtime.NumCPU(), Memory: machine.Memory(), Threads: o.threads,
		Rounds: o.rounds, StepTokens: o.stepTokens, Date: time.Now().UTC().Format(time.DateOnly), Model: filepath.Base(o.model), Corpus: filepath.Base(o.corpus),
		Versions: map[string]string{"eaft": version.Version, "Go": strings.TrimPrefix(runtime.Version(), "go")}}
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err == nil {
		b.report.Versions["eaft"] += " (" + strings.TrimSpace(string(out)) + ")"
	}
	return b, nil
}

// prepare makes tokens of the first n rows of the corpus, in eaft's own format
// and as JSON Lines, so that all tools do the same work.
func (b *bench) prepare(model string, n int) (*data, error) {
	dir, err := os.MkdirTemp(b.o.work, "corpus-")
	if err != nil {
		return nil, err
	}
	d := &data{model: model, tokens: filepath.Join(dir, "tokens"), rows: filepath.Join(dir, "rows.jsonl")}
	in := filepath.Join(dir, "corpus.jsonl")
	if err := head(in, b.o.corpus, n); err != nil {
		return nil, err
	}
	if _, _, _, err := b.exec(b.bin("tokenize"), "--model", model, "--prompt-field", b.o.prompt, "--completion-field", b.o.completion, "--out", d.tokens, in); err != nil {
		return nil, err
	}
	ds, err := parquet.OpenDataset(d.tokens, parquet.SchemaTokens)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(d.rows)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	enc := json.NewEncoder(f)
	for _, path := range ds.Shards {
		r, err := parquet.OpenTokens(path)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		for {
			var row parquet.TokensRow
			if err := r.Next(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			d.n++
			if err := enc.Encode(map[string][]int32{"input_ids": row.InputIDs, "labels": row.Labels}); err != nil {
				return nil, err
			}
			for i := range row.InputIDs {
				b.count(d, &row, i)
			}
		}
	}
	return d, f.Close()
}

// count books the tokens of the corpus that the speed is measured on.
func (b *bench) count(d *data, row *parquet.TokensRow, i int) {
	if d.model != b.o.model || b.report.counted {
		return
	}
	b.report.Tokens++
	if i > 0 && row.Labels[i] != parquet.Ignore {
		b.report.Targets++
	}
}

// head copies the first n lines.
func head(dst, src string, n int) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	var out bytes.Buffer
	r := bufio.NewReader(f)
	for i := range n {
		line, err := r.ReadString('\n')
		out.WriteString(line)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s has %d lines, not %d", src, i, n)
		} else if err != nil {
			return err
		}
	}
	return os.WriteFile(dst, out.Bytes(), 0o666)
}

func (b *bench) bin(name string) string { return filepath.Join(b.o.bin, name) }

// exec runs a program on the threads and returns its output, time and peak memory.
func (b *bench) exec(name string, args ...string) (out []byte, wall float64, memory int64, err error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.o.threads), "OMP_NUM_THREADS="+strconv.Itoa(b.o.threads), "HF_HUB_OFFLINE=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	began := time.Now()
	out, err = cmd.Output()
	wall = time.Since(began).Seconds()
	if cmd.ProcessState != nil {
		if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			memory = int64(ru.Maxrss)
			if runtime.GOOS != "darwin" {
				memory <<= 10
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errs.Bytes())
	}
	return out, wall, memory, err
}

// ours measures eaft.
func (b *bench) ours(d *data, work string) (m measurement, err error) {
	m = measurement{Work: work, Tool: ours, Rows: d.n, Vocabulary: d.vocab}
	dir := filepath.Join(b.o.work, "out")
	if err := os.RemoveAll(dir); err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	threads := strconv.Itoa(b.o.threads)
	if work == fit {
		_, m.Wall, m.Memory, err = b.exec(b.bin("train"), "--model", d.model, "--tokens", d.tokens, "--out", dir, "--loss", "eaft",
			"--dtype", "bf16", "--threads", threads, "--batch-tokens", strconv.Itoa(b.o.stepTokens), "--lr", "1e-5")
		if err == nil {
			m.Rate, err = trainRate(filepath.Join(dir, "metrics.jsonl"))
		}
	} else {
		var out []byte
		out, m.Wall, m.Memory, err = b.exec(b.bin("scorer"), "score", "--model", d.model, "--tokens", d.tokens, "--out", dir,
			"--targets", strings.TrimPrefix(work, "score-"), "--dtype", "bf16", "--threads", threads, "--json")
		var s struct {
			Rate float64  `json:"tokens_per_second"`
			Mean *float64 `json:"mean_logprob"`
		}
		if err == nil {
			err = json.Unmarshal(out, &s)
		}
		m.Rate, m.MeanLogProb = s.Rate, s.Mean
	}
	if d.model == b.o.model && b.report.Versions["ISA"] == "" && err == nil {
		b.report.Versions["ISA"] = isa(dir)
	}
	return m, err
}

// isa is what a finished run says it computed with.
func isa(dir string) string {
	for _, name := range []string{"_manifest.json", "run.json"} {
		var r struct{ ISA string }
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil && json.Unmarshal(data, &r) == nil {
			return r.ISA
		}
	}
	return ""
}

// trainRate is the tokens of all steps after the first by their time: the first
// gets its memory from the system, as the rival's uncounted batch does.
func trainRate(path string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var tokens, seconds float64
	first := true
	for dec := json.NewDecoder(f); ; {
		var m struct {
			Tokens float64 `json:"tokens"`
			Rate   float64 `json:"tokens_per_s"`
		}
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if !first {
			tokens += m.Tokens
			seconds += m.Tokens / m.Rate
		}
		first = false
	}
	if seconds == 0 {
		return 0, fmt.Errorf("%s has one optimizer step; take more --rows or fewer --step-tokens", path)
	}
	return tokens / seconds, nil
}

// script measures a rival.
func (b *bench) script(m measurement, name string, args ...string) (measurement, error) {
	out, wall, memory, err := b.exec(b.o.python, append([]string{filepath.Join("bench", name)}, args...)...)
	if err != nil {
		return m, err
	}
	var s struct {
		Tokens, Seconds float64
		Mean            *float64 `json:"mean_logprob"`
		Versions        map[string]string
	}
	if err := json.Unmarshal(lastLine(out), &s); err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	for k, v := range s.Versions {
		b.report.Versions[k] = v
	}
	m.Rate, m.Wall, m.Memory = s.Tokens/s.Seconds, wall, memory
	if m.Work != fit {
		m.MeanLogProb = s.Mean
	}
	return m, nil
}

func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

func (b *bench) torch(d *data, tool, work string, batch int) (measurement, error) {
	head := "asked"
	if tool == torchAll {
		head = "all"
	}
	return b.script(measurement{Work: work, Tool: tool, Batch: batch, Rows: d.n, Vocabulary: d.vocab}, "torch_rival.py",
		work, d.model, d.rows, strconv.Itoa(batch), strconv.Itoa(b.o.threads), strconv.Itoa(b.o.stepTokens), head, b.report.torchType())
}

// book keeps a measurement and tells of it.
func (b *bench) book(list *[]measurement, m measurement, round int) {
	m.Round = round
	*list = append(*list, m)
	batch := ""
	if m.Batch > 0 {
		batch = fmt.Sprintf(" in batches of %d", m.Batch)
	}
	fmt.Fprintf(os.Stderr, "round %d  %-13s  %s%s: %.0f tokens/s, %d MB, %.1f s in all\n", round, m.Work, m.Tool, batch, m.Rate, m.Memory/1e6, m.Wall)
}

// rounds measures all works by all tools in turn.
func (b *bench) rounds() error {
	d, err := b.prepare(b.o.model, b.o.rows)
	if err != nil {
		return err
	}
	b.report.Rows, b.report.counted = d.n, true
	b.report.Best = map[string]int{}
	for round := 1; round <= b.o.rounds; round++ {
		for _, work := range works {
			m, err := b.ours(d, work)
			if err != nil {
				return err
			}
			b.book(&b.report.Runs, m, round)
			if b.o.python == "" {
				continue
			}
			for _, tool := range torches(work) {
				if err := b.torchRound(d, tool, m, round); err != nil {
					return err
				}
			}
			if err := b.runLlama(d, work, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// torchRound measures PyTorch at the work of m, in the first round with each
// size of batch, then with the fastest.
func (b *bench) torchRound(d *data, tool string, m measurement, round int) error {
	batches := b.o.batches
	if round > 1 {
		batches = []int{b.report.best(tool, m.Work)}
	}
	fastest := 0.0
	for _, batch := range batches {
		r, err := b.torch(d, tool, m.Work, batch)
		if err != nil {
			return err
		}
		b.book(&b.report.Runs, r, round)
		if r.Rate > fastest {
			fastest, b.report.Best[tool+": "+m.Work] = r.Rate, batch
		}
		if m.MeanLogProb != nil && r.MeanLogProb != nil && math.Abs(*m.MeanLogProb-*r.MeanLogProb) > 0.02 {
			return fmt.Errorf("%s: the mean log-probability is %.4f by eaft and %.4f by PyTorch: not the same work", m.Work, *m.MeanLogProb, *r.MeanLogProb)
		}
	}
	return nil
}

// runLlama measures llama.cpp where it is.
func (b *bench) runLlama(d *data, work string, round int) error {
	if !b.llama || work != scoreAll {
		return nil
	}
	m, err := b.script(measurement{Work: work, Tool: llama, Rows: d.n}, "llama_rival.py", b.o.gguf, d.rows, strconv.Itoa(b.o.threads))
	if exit := new(exec.ExitError); errors.As(err, &exit) && b.ctx.Err() == nil {
		why := exit.String()
		if exit.ExitCode() == 3 {
			why = "llama-cpp-python is not installed"
		}
		b.report.LeftOut = fmt.Sprintf("%s is left out: %s.", llama, why)
		fmt.Fprintln(os.Stderr, b.report.LeftOut)
		b.llama = false
		return nil
	}
	if err != nil {
		return err
	}
	b.book(&b.report.Runs, m, round)
	return nil
}

// memory measures peak memory against the corpus and the vocabulary.
func (b *bench) memory() error {
	one := func(model string, rows, vocab int) error {
		d, err := b.prepare(model, rows)
		if err != nil {
			return err
		}
		d.vocab = vocab
		for _, work := range []string{scoreTrained, fit} {
			m, err := b.ours(d, work)
			if err != nil {
				return err
			}
			b.book(&b.report.Memories, m, 1)
			if b.o.python == "" {
				continue
			}
			if m, err = b.torch(d, torch, work, b.report.best(torch, work)); err != nil {
				return err
			}
			b.book(&b.report.Memories, m, 1)
		}
		return nil
	}
	for _, rows := range b.o.memoryRows {
		if err := one(b.o.model, rows, 0); err != nil {
			return err
		}
	}
	for _, v := range b.o.vocabularies {
		if b.o.python == "" {
			return errors.New("--vocabularies needs --python")
		}
		dir := filepath.Join(b.o.work, "vocabulary-"+strconv.Itoa(v))
		if _, _, _, err := b.exec(b.o.python, filepath.Join("bench", "widen_vocab.py"), b.o.model, dir, strconv.Itoa(v)); err != nil {
			return err
		}
		if err := one(dir, min(b.o.rows, 20), v); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
