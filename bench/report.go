package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// report is everything that was measured.
type report struct {
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	Memory     int64             `json:"memory"`
	Threads    int               `json:"threads"`
	Rounds     int               `json:"rounds"`
	StepTokens int               `json:"step_tokens"`
	Date       string            `json:"date"`
	Model      string            `json:"model"`
	Corpus     string            `json:"corpus"`
	Rows       int               `json:"rows"`
	Tokens     int               `json:"tokens"`
	Targets    int               `json:"targets"`
	Versions   map[string]string `json:"versions"`
	Best       map[string]int    `json:"best_batch"` // of a rival at a work, see best
	Runs       []measurement     `json:"runs"`
	Memories   []measurement     `json:"memory_runs"`
	LeftOut    string            `json:"left_out,omitempty"` // a rival, and why

	counted bool
}

// best is the size of batch at which a rival is fastest.
func (r *report) best(tool, work string) int { return r.Best[tool+": "+work] }

// torchType is what PyTorch is fastest with: on a CPU that cannot multiply
// bfloat16 its products of them take longer than those of float32.
func (r *report) torchType() string {
	switch r.Versions["ISA"] {
	case "amx", "avx512bf16":
		return "bf16"
	}
	return "f32"
}

// median of the runs of a tool at a work, of its best batch.
func (r *report) median(tool, work string) (rate float64, memory int64, ok bool) {
	var rates []float64
	var mems []int64
	for _, m := range r.Runs {
		if m.Tool == tool && m.Work == work && (m.Batch == 0 || m.Batch == r.best(tool, work)) {
			rates, mems = append(rates, m.Rate), append(mems, m.Memory)
		}
	}
	if len(rates) == 0 {
		return 0, 0, false
	}
	return middle(rates), int64(middle(mems)), true
}

// middle is the median; of an even number the mean of the two.
func middle[T int64 | float64](x []T) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	n := len(x)
	return (float64(x[(n-1)/2]) + float64(x[n/2])) / 2
}

// says names the works in the tables.
var says = map[string]string{
	scoreAll:     "score every position",
	scoreTrained: "score the trained targets",
	fit:          "train EAFT, float32 masters",
}

// machine is a line about what it was measured on.
func (r *report) machine() string {
	var v []string
	for _, name := range []string{"eaft", "Go", "PyTorch", "transformers", "llama-cpp-python"} {
		if r.Versions[name] != "" {
			v = append(v, name+" "+r.Versions[name])
		}
	}
	return fmt.Sprintf("%s, %d of %d cores, %.0f GiB of memory, ISA %s; %s; %s.", r.CPU, min(r.Threads, r.Cores), r.Cores,
		float64(r.Memory)/(1<<30), r.Versions["ISA"], strings.Join(v, ", "), r.Date)
}

// types says what is multiplied.
func (r *report) types() string {
	if r.torchType() == "bf16" {
		return "bf16"
	}
	return "eaft in bf16, PyTorch in float32, which is faster here"
}

// short is the README's table.
func (r *report) short() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s, %d rows of %s through the chat template\n(%d tokens, %d trained targets), %s, %s. Tokens/s and peak memory, medians of %s in turn:\n\n",
		r.machine(), r.Model, r.Rows, r.Corpus, r.Tokens, r.Targets, r.types(), count(r.Threads, "thread"), count(r.Rounds, "round"))
	b.WriteString("| work | eaft | rival | | ratio |\n|---|---|---|---|---|\n")
	for _, work := range works {
		rate, mem, _ := r.median(ours, work)
		for _, tool := range torches(work) {
			fmt.Fprintf(&b, "| %s | %.0f, %d MB | %s | ", says[work], rate, mem/1e6, tool)
			if rr, rm, ok := r.median(tool, work); ok {
				fmt.Fprintf(&b, "%.0f, %d MB | %.1fx the speed, %.2fx the memory |\n", rr, rm/1e6, rate/rr, float64(mem)/float64(rm))
			} else {
				b.WriteString("not measured | |\n")
			}
		}
	}
	return b.String()
}

// long is the table of docs/benchmarks.md.
func (r *report) long() string {
	var b strings.Builder
	b.WriteString(r.short())
	b.WriteString("\nEvery run:\n\n| work | tool | batch | round | tokens/s | peak memory, MB | whole program, s | mean logprob |\n|---|---|---|---|---|---|---|---|\n")
	for _, m := range r.Runs {
		b.WriteString(m.row(fmt.Sprint(m.Round)))
	}
	if r.LeftOut != "" {
		fmt.Fprintf(&b, "\n%s\n", r.LeftOut)
	}
	if len(r.Memories) == 0 {
		return b.String()
	}
	b.WriteString("\nPeak memory against the corpus and the vocabulary:\n\n| work | tool | rows | vocabulary | peak memory, MB |\n|---|---|---|---|---|\n")
	for _, m := range r.Memories {
		v := "the model's"
		if m.Vocabulary > 0 {
			v = fmt.Sprint(m.Vocabulary)
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %d |\n", says[m.Work], m.Tool, m.Rows, v, m.Memory/1e6)
	}
	return b.String()
}

func (m measurement) row(round string) string {
	batch, mean := "", ""
	if m.Batch > 0 {
		batch = fmt.Sprint(m.Batch)
	}
	if m.MeanLogProb != nil {
		mean = fmt.Sprintf("%.4f", *m.MeanLogProb)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %.0f | %d | %.1f | %s |\n", says[m.Work], m.Tool, batch, round, m.Rate, m.Memory/1e6, m.Wall, mean)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// marks are the lines between which a file carries what bench wrote of an
// instruction set.
func marks(isa string) (begin, end string) {
	return "<!-- bench " + isa + ": begin, written by make bench -->\n", "<!-- bench " + isa + ": end -->\n"
}

var lastEnd = regexp.MustCompile(`(?s).*<!-- bench \S+: end -->\n`)

// splice puts text between the marks of an instruction set in a file, or behind
// the last block of another one.
func splice(path, isa, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(data)
	begin, end := marks(isa)
	if before, rest, ok := strings.Cut(page, begin); ok {
		_, after, ok := strings.Cut(rest, end)
		if !ok {
			return fmt.Errorf("%s: the line %q is missing", path, strings.TrimSpace(end))
		}
		return os.WriteFile(path, []byte(before+begin+text+end+after), 0o666)
	}
	at := lastEnd.FindStringIndex(page)
	if at == nil {
		return fmt.Errorf("%s: the lines %q and %q are missing", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(path, []byte(page[:at[1]]+"\n"+begin+text+end+page[at[1]:]), 0o666)
}
