package eval_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"eaft/compute/cpu"
	"eaft/eval"
	"eaft/model"
	"eaft/model/weights"
	"eaft/tokenize"
)

// world is a model with its language, on one numeric path.
type world struct {
	m         *model.Model
	raw, chat *eval.Language
}

func newWorld(t *testing.T, ref string, threads int) world {
	t.Helper()
	c, err := weights.Open(ref)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	dev, err := cpu.New(threads)
	must(t, err)
	m, err := model.Load(dev, c, model.Options{})
	must(t, err)
	l, err := tokenize.LanguageOf(c)
	must(t, err)
	return world{m, &eval.Language{Tokenizer: l.Tokenizer}, &eval.Language{Tokenizer: l.Tokenizer, Chat: l.Prompt}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func source(path string) eval.Source {
	return eval.Source{Name: path, Each: func(f func(key, raw []byte) error) error { return tokenize.EachRecord(path, f) }}
}

func lines(records ...string) eval.Source {
	return eval.Source{Name: "lines", Each: func(f func(key, raw []byte) error) error {
		for _, r := range records {
			if err := f(nil, []byte(r)); err != nil {
				return err
			}
		}
		return nil
	}}
}

func choose(t *testing.T, w world, l *eval.Language, c eval.Choice, s eval.Source) (*eval.ChoiceResult, []eval.Chosen) {
	t.Helper()
	var all []eval.Chosen
	r, err := c.Run(t.Context(), w.m, l, s, func(q eval.Chosen) error { all = append(all, q); return nil }, func(int, int) {})
	must(t, err)
	return r, all
}

// reference is what testdata/reference.py computes.
type reference struct {
	Raw, Chat  [][]float64
	Spaced     [][]float64 // with a space at the prompt's end
	Answers    []string
	Perplexity struct {
		Tokens int64
		NLL    float64
	}
}

func golden(t *testing.T) reference {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	must(t, err)
	var g reference
	must(t, json.Unmarshal(data, &g))
	return g
}

// A log-probability is a difference of float32 numbers of a size up to some 30, which
// are spacing apart. The roundings before it, ours and torch's, may move it by eight
// of these, and the mean over many tokens, in which they average, by one. Seen are 0.9
// in each token of a choice, and 0.1 in the mean, of SmolLM2-135M 0.4.
const (
	spacing      = 1.0 / (1 << 19)
	logprobBound = 8 * spacing
	meanBound    = spacing
)

func TestChoice(t *testing.T) {
	w, g := newWorld(t, "demo", 2), golden(t)
	for name, c := range map[string]struct {
		l      *eval.Language
		prompt string
		want   [][]float64
	}{"raw": {w.raw, "", g.Raw}, "chat": {w.chat, "", g.Chat}, "spaced": {w.raw, eval.PromptTexts + " ", g.Spaced}} {
		r, all := choose(t, w, c.l, eval.Choice{Texts: true, Prompt: c.prompt}, source("testdata/questions.jsonl"))
		hits, norm := 0, 0
		for i, q := range all {
			best := 0
			for j, lp := range q.LogProbs {
				if d := math.Abs(lp - c.want[i][j]); !(d <= 5*logprobBound) { // choices have up to 4 tokens, and white space before them
					t.Errorf("%s: question %s, choice %d: %v, torch says %v", name, q.ID, j, lp, c.want[i][j])
				}
				if c.want[i][j] > c.want[i][best] {
					best = j
				}
			}
			if best != q.Choice {
				t.Errorf("%s: question %s: choice %d, torch says %d", name, q.ID, q.Choice, best)
			}
			if best == q.Gold {
				hits++
			}
			if q.ChoiceNorm == q.Gold {
				norm++
			}
		}
		n := len(all)
		p := float64(hits) / float64(n)
		if n != len(c.want) || r.Questions != n || r.Accuracy.Value != p || r.AccuracyNorm.Value != float64(norm)/float64(n) ||
			math.Abs(*r.Accuracy.StdErr-math.Sqrt(p*(1-p)/float64(n-1))) > 1e-15 {
			t.Errorf("%s: %d questions, %d right: %+v", name, n, hits, r)
		}
		if len(r.Subjects) != 3 || r.Subjects[0].Name != "capital" || r.Subjects[0].Questions != 4 {
			t.Errorf("%s: subjects %+v", name, r.Subjects)
		}
	}
}

// Neither the questions beside it nor threads change a question's bits.
func TestChoiceInvariance(t *testing.T) {
	w, one := newWorld(t, "demo", 2), newWorld(t, "demo", 1)
	records := strings.Split(strings.TrimSpace(read(t, "testdata/questions.jsonl")), "\n")
	_, all := choose(t, w, w.raw, eval.Choice{}, lines(records...))
	for i, record := range records {
		_, alone := choose(t, one, one.raw, eval.Choice{}, lines(record))
		if !reflect.DeepEqual(alone[0].LogProbs, all[i].LogProbs) {
			t.Errorf("question %d: %v among others, %v alone", i, all[i].LogProbs, alone[0].LogProbs)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// The layouts in which choices and answers are published.
func TestChoiceLayouts(t *testing.T) {
	w := newWorld(t, "demo", 1)
	const river = `"question":"What is the river of Nelland?",`
	for _, c := range []struct {
		record string
		task   eval.Choice
		gold   int
	}{
		{`{` + river + `"choices":["Derus","Kagrus"],"answer":1}`, eval.Choice{}, 1},
		{`{` + river + `"choices":["Derus","Kagrus"],"answer":"B"}`, eval.Choice{}, 1},
		{`{` + river + `"choices":["Derus","Kagrus"],"answer":"Kagrus"}`, eval.Choice{}, 1},
		{`{` + river + `"choices":["Derus","Kagrus"],"answer":"1"}`, eval.Choice{}, 1},
		{`{` + river + `"options":{"X":"Derus","A":"Kagrus"},"answer_idx":"A","answer":"Derus"}`, eval.Choice{}, 1},
		{`{` + river + `"choices":{"text":["Derus","Kagrus"],"label":["1","2"]},"answerKey":"2"}`, eval.Choice{}, 1},
		{`{` + river + `"A":"Derus","B":"Kagrus","right":"B"}`, eval.Choice{Fields: eval.Fields{Choices: "A,B", Answer: "right"}}, 1},
		{`{"q":{"text":"Is it?","passages":["One.","Two."]},"final_decision":"maybe"}`, eval.Choice{Labels: []string{"yes", "no", "maybe"}, Fields: eval.Fields{Question: "q.text", Context: "q.passages"}}, 2},
	} {
		_, all := choose(t, w, w.raw, c.task, lines(c.record))
		if all[0].Gold != c.gold {
			t.Errorf("%s: the right choice is %d, not %d", c.record, all[0].Gold, c.gold)
		}
	}
	for record, says := range map[string]string{
		`{"choices":["a","b"],"answer":0}`:                     "which field is the question",
		`{` + river + `"answer":0}`:                            "which field is the choices",
		`{` + river + `"choices":["a","b"]}`:                   "which field is the answer",
		`{` + river + `"choices":["a","b"],"answer":null}`:     "answer, the answer, is missing",
		`{` + river + `"choices":["a","b"],"answer":2}`:        "none of 2 choices",
		`{` + river + `"choices":["a","b"],"answer":"c"}`:      "no choice has this name",
		`{` + river + `"choices":["2","1","0"],"answer":"2"}`:  "may mean choice A or C",
		`{` + river + `"choices":["a"],"answer":0}`:            "has 1 choices",
		`{` + river + `"choices":[1,2],"answer":0}`:            "a list of texts or an object",
		`{` + river + `"choices":["a","b"],"answer":{"is":1}}`: "a number or a text was expected",
		`{"question":[1],"choices":["a","b"],"answer":0}`:      "a text, a number or a list of texts",
		`[1]`: "which field is the",
		`{"question":"","choices":["a","b"],"answer":0}`: "the prompt is empty",
	} {
		_, err := (&eval.Choice{Prompt: "{question}"}).Run(t.Context(), w.m, w.raw, lines(record), nil, func(int, int) {})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "lines: record 0") {
			t.Errorf("%s: the error should say %q: %v", record, says, err)
		}
	}
}

// What does not fit the model's 256 positions loses its beginning, counted.
func TestChoiceTruncates(t *testing.T) {
	w := newWorld(t, "demo", 1)
	r, _ := choose(t, w, w.raw, eval.Choice{}, lines(`{"question":"`+strings.Repeat("Paul broke black book ", 90)+`","choices":["a","b"],"answer":0}`))
	if r.Truncated != 1 {
		t.Errorf("%+v", r)
	}
}

func TestMatch(t *testing.T) {
	g := golden(t)
	for _, threads := range []int{1, 2} {
		w := newWorld(t, "demo", threads)
		for _, slots := range []int{1, 5, 64} {
			var answers []string
			task := eval.Match{MaxNew: 20, Slots: slots, Stop: []int32{2}}
			r, err := task.Run(t.Context(), w.m, w.chat, source("testdata/sums.jsonl"), func(m eval.Matched) error {
				answers = append(answers, m.Answer)
				if m.Strict != "" || m.IsStrict || !m.IsFlex || !m.Ended {
					t.Errorf("%+v", m)
				}
				return nil
			}, func(int, int, int64) {})
			must(t, err)
			if !reflect.DeepEqual(answers, g.Answers) {
				t.Errorf("%d at a time: answers\n got %q\nwant %q", slots, answers, g.Answers)
			}
			if r.Flexible.Value != 1 || r.Strict.Value != 0 || r.Unended != 0 || r.Questions != 12 {
				t.Errorf("%+v", r)
			}
		}
	}
}

// Until ends an answer and is no part of it.
func TestMatchUntil(t *testing.T) {
	w := newWorld(t, "demo", 1)
	task := eval.Match{MaxNew: 20, Slots: 1, Until: []string{"="}, Limit: 1}
	r, err := task.Run(t.Context(), w.m, w.chat, source("testdata/sums.jsonl"), func(m eval.Matched) error {
		if m.Answer != "9 + 9 " || m.Flexible != "9" || m.IsFlex || !m.Ended {
			t.Errorf("%+v", m)
		}
		return nil
	}, func(int, int, int64) {})
	must(t, err)
	if r.Questions != 1 || r.Unended != 0 {
		t.Errorf("%+v", r)
	}
}

// By lm-evaluation-harness's gsm8k.yaml.
func TestNumbers(t *testing.T) {
	for answer, want := range map[string][2]string{
		"":                          {"", ""},
		"none":                      {"", ""},
		"5 + 4 = 9\n#### 9":         {"9", "9"},
		"#### -1,234.5 of $3":       {"-1,234.5", "$3"},
		"####9 then 12.":            {"", "12."},
		"it costs $1,000.":          {"", "$1,000."},
		"a 7 b":                     {"", "7"},
		"#### 3 and #### 4":         {"3", "4"},
		"well... yes":               {"", "..."},
		"between -5 and -12 degree": {"", "-12"},
	} {
		strict, flexible := eval.Numbers(answer)
		if strict != want[0] || flexible != want[1] {
			t.Errorf("%q: %q and %q, want %q", answer, strict, flexible, want)
		}
	}
}

func TestPerplexity(t *testing.T) {
	w, g := newWorld(t, "demo", 2), golden(t)
	sum := 0.0
	end := 1
	task := eval.Perplexity{Window: 64, Stride: 24}
	text := read(t, "testdata/text.txt")
	r, err := task.Run(t.Context(), w.m, w.raw, text, func(x eval.Window) error {
		if x.Start != end || x.End <= x.Start || x.Start > 64 && x.Context < 40 {
			t.Errorf("%+v behind %d", x, end)
		}
		end = x.End
		sum += x.NLL
		return nil
	}, func(int, int) {})
	must(t, err)
	if r.Tokens != g.Perplexity.Tokens || r.NLL != sum {
		t.Errorf("%+v, windows sum to %v, torch has %d tokens", r, sum, g.Perplexity.Tokens)
	}
	// Errors of single tokens hardly correlate; bound their mean.
	if d := math.Abs(r.NLL-g.Perplexity.NLL) / float64(r.Tokens); !(d <= meanBound) {
		t.Errorf("%v nats, torch says %v", r.NLL, g.Perplexity.NLL)
	}
	first := len(strings.Fields(text)[0])
	if want := math.Exp(r.NLL / float64(r.Tokens)); r.TokenPerplexity != want || r.Bytes > int64(len(text)-1) || r.Bytes < int64(len(text)-first) ||
		r.WordPerplexity != math.Exp(r.NLL/float64(r.Words)) || r.BytePerplexity != math.Exp(r.NLL/float64(r.Bytes)) || math.Abs(math.Log2(r.BytePerplexity)-r.BitsPerByte) > 1e-12 {
		t.Errorf("%+v", r)
	}
	one := newWorld(t, "demo", 1)
	again, err := task.Run(t.Context(), one.m, one.raw, text, nil, func(int, int) {})
	must(t, err)
	if *again != *r {
		t.Errorf("with one thread %+v, with two %+v", again, r)
	}
	for _, bad := range []eval.Perplexity{{Window: 257}, {Window: 1}, {Window: 16, Stride: 17}, {Window: 16, Stride: 16}} {
		if _, err := bad.Run(t.Context(), w.m, w.raw, text, nil, func(int, int) {}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := task.Run(t.Context(), w.m, w.raw, "a", nil, func(int, int) {}); err == nil {
		t.Error("a text of one token is accepted")
	}
}

// A real model: EAFT_EVAL_MODEL is a folder, EAFT_EVAL_TEXT a file of text of which
// the first 50,000 tokens are predicted.
func TestAgainstTransformers(t *testing.T) {
	python, folder, file := os.Getenv("EAFT_PYTHON"), os.Getenv("EAFT_EVAL_MODEL"), os.Getenv("EAFT_EVAL_TEXT")
	if python == "" || folder == "" || file == "" {
		t.Skip("set EAFT_PYTHON, EAFT_EVAL_MODEL and EAFT_EVAL_TEXT")
	}
	text := read(t, file)
	task := eval.Perplexity{Window: 1024, Stride: 512, MaxTokens: 50000}
	in, err := json.Marshal(map[string]any{"text": text, "window": task.Window, "stride": task.Stride, "max_tokens": task.MaxTokens, "new": 1})
	must(t, err)
	cmd := exec.Command(python, "testdata/reference.py", folder)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	must(t, err)
	var g reference
	must(t, json.Unmarshal(out, &g))
	w := newWorld(t, folder, 2)
	r, err := task.Run(t.Context(), w.m, w.raw, text, nil, func(int, int) {})
	must(t, err)
	n := float64(g.Perplexity.Tokens)
	t.Logf("%d tokens: %.8f nats a token here, %.8f by transformers; perplexity %.5f and %.5f", r.Tokens, r.NLL/n, g.Perplexity.NLL/n, r.TokenPerplexity, math.Exp(g.Perplexity.NLL/n))
	if d := math.Abs(r.NLL-g.Perplexity.NLL) / n; r.Tokens != g.Perplexity.Tokens || !(d <= meanBound) {
		t.Errorf("%+v, transformers says %+v", r, g.Perplexity)
	}
}
