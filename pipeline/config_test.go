package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/bound"
	"eaft/internal/cli"
)

func someFlags(program string, command ...string) ([]cli.Flag, error) {
	return []cli.Flag{{Name: "lr", Type: "float64"}, {Name: "shards", Type: "int"}, {Name: "steps", Type: "int"},
		{Name: "epochs", Type: "int"}, {Name: "split", Type: "stringArray"}, {Name: "json", Type: "bool"}}, nil
}

func load(t *testing.T, text string, over ...Override) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return Load(path, over, someFlags)
}

func TestLoad(t *testing.T) {
	c, err := load(t, "model: m\ncorpora: [a, b]\ntokenize: {shards: 4, split: held=2%}\ntrain:\neval: {held: {split: held}}\n",
		Override{[]string{"train", "lr"}, "1e-5", "--set train.lr"}, Override{[]string{"tokenize", "shards"}, "8", "EAFT_TOKENIZE_SHARDS"},
		Override{[]string{"workers"}, "3", "--workers"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Shards != 8 || c.Workers != 3 || c.Train == nil || strings.Join(c.Train.args(c), " ") != "--lr=1e-5" || len(c.Eval) != 1 || strings.Join(c.splits(), " ") != "held" {
		t.Errorf("%+v", c)
	}
}

// A field with its default, however that is spelled, is as good as left out; where
// no value means the same as none, it is not.
func TestDefaultsAreLeftOut(t *testing.T) {
	flags := func(string, ...string) ([]cli.Flag, error) {
		return []cli.Flag{{Name: "lr", Type: "float64", Default: "1e-05"}, {Name: "lora", Type: "int", Default: "0"}, {Name: "merge", Type: "bool", Default: "false"},
			{Name: "gate", Type: "string"}, {Name: "dtype", Type: "string", Default: "bf16"}, {Name: "map", Type: "stringArray", Default: "[]"}, {Name: "shuffle", Type: "uint64"}}, nil
	}
	for text, want := range map[string]string{
		`lr: 0.00001`: "", `lr: 1e-5`: "", `lr: 2e-5`: "--lr=2e-5", `lora: 0x0`: "", `lora: 8`: "--lora=8", `merge: "FALSE"`: "", `merge: true`: "--merge=true",
		`gate: ""`: "", `gate: cube`: "--gate=cube", `dtype: bf16`: "", `dtype: f32`: "--dtype=f32", `map: []`: "", `map: [a=b]`: "--map=a=b",
		`shuffle: 0`: "--shuffle=0", `shuffle:`: "", `dtype: ""`: "train.dtype is empty", `map: ""`: "train.map is empty", `lr: ""`: "train.lr is empty",
	} {
		path := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(path, []byte("model: m\ncorpora: x\ntrain:\n  "+text+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, nil, flags)
		if err != nil {
			if !strings.Contains(err.Error(), want) || want == "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if got := strings.Join(c.Train.args(c), " "); got != want {
			t.Errorf("%s is told as %q, want %q", text, got, want)
		}
		if over, _ := ParseSet([]string{"train.lora=0"}); text == "lora: 8" {
			if c, err = Load(path, over, flags); err != nil || len(c.Train.args(c)) > 0 || c.Train.adapts() {
				t.Errorf("--set train.lora=0: %v, %v", c.Train.args(c), err)
			}
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	over, err := FromEnvironment([]string{"EAFT_TRAIN_MAX_GRAD_NORM=1", "EAFT_CPU=avx2", "EAFT_PYTHON=python3", "EAFT_MODEL=", "HOME=/x"}, someFlags)
	var got []string
	for _, o := range over {
		got = append(got, strings.Join(o.Path, ".")+"="+o.Value)
	}
	if want := "cpu=avx2 train.max-grad-norm=1"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

// A variable that sets nothing is refused where it was meant to; one of something else
// is none of a run's.
func TestMisspelledEnvironment(t *testing.T) {
	for name, want := range map[string]string{
		"EAFT_TRIAN_LR": "is EAFT_TRAIN_LR meant?", "EAFT_TOKENISE_MAX_REJECT": "is EAFT_TOKENIZE_MAX_REJECT meant?", "EAFT_INSPCT_FAIL_IF": "",
		"EAFT_MODLE": "is EAFT_MODEL meant?", "EAFT_WORKER": "is EAFT_WORKERS meant?", "EAFT_CORPUS": "is EAFT_CORPORA meant?", "EAFT_CPUS": "is EAFT_CPU meant?",
		"EAFT_LR": "is EAFT_TOKENIZE_LR or EAFT_SCORE_LR or EAFT_INSPECT_LR or EAFT_TRAIN_LR meant?", "EAFT_TRAIN": "name a flag of train",
		"EAFT_EVAL_HELD_SPLIT": "set in the file, or by --set eval", "EAFT_EVAL_HELD_LR": "set in the file, or by --set eval",
		"EAFT_PYTHON": "", "EAFT_TOKENIZER_DIRS": "", "EAFT_TRAINED": "", "EAFT_EVAL_MODEL": "", "EAFT_SMOLLM2_FOLDER": "",
		"EAFT_OUTPUT_DIR": "", "EAFT_SERVICE_PORT_HTTP": "", "EAFT_MODEL_DIR": "", "EAFT_PORT": "", "EAFT_HOME": "", "EAFT_OUTPUT": "is EAFT_OUT meant?", "EAFT_": "",
	} {
		over, err := FromEnvironment([]string{name + "=1"}, func(string, ...string) ([]cli.Flag, error) {
			return []cli.Flag{{Name: "lr", Type: "float64"}, {Name: "max-reject", Type: "float64"}}, nil
		})
		switch {
		case want == "" && (err != nil || len(over) > 0):
			t.Errorf("%s: %v, %v", name, over, err)
		case want != "" && (cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), name+" sets no field of a run; ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// What --set and the environment say is YAML where it is a value or a list, else a text.
func TestOverrideText(t *testing.T) {
	for value, want := range map[string]string{"*.jsonl": "*.jsonl", "*x": "*x", "a #1.jsonl": "a #1.jsonl", "#1": "#1", "a: b": "a: b", "@x": "@x", "a: b: c": "a: b: c",
		"[a, '*b']": "a|*b", "[a, *b]": "quotes", `"a#b"`: "a#b", "`x`": "`x`", "%x": "%x", "{a}": "{a}", "  x ": "x", "[a": "did not find", "[*.jsonl]": "quotes"} {
		c, err := load(t, "model: m\ncorpora: x\n", Override{[]string{"corpora"}, value, "--set corpora"})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = strings.Join(c.Corpora, "|")
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q is %q, want %q", value, got, want)
		}
	}
	for _, value := range []string{"", "null", "~", " "} {
		if _, err := load(t, "model: m\ncorpora: x\n", Override{[]string{"corpora"}, value, "--set corpora"}); err == nil || !strings.Contains(err.Error(), "corpora is missing") {
			t.Errorf("%q takes nothing away: %v", value, err)
		}
	}
	if _, err := load(t, "model: m\ncorpora: *.jsonl\n"); err == nil || !strings.Contains(err.Error(), "line 2: ") || !strings.Contains(err.Error(), "needs quotes") {
		t.Error(err)
	}
}

// The number of shards is what the stage reads of it.
func TestShardsSpelled(t *testing.T) {
	for text, want := range map[string]int{"16": 16, "0x10": 16, "020": 16, "1_6": 16} {
		c, err := load(t, "model: m\ncorpora: x\ntokenize: {shards: "+text+"}\n")
		if err != nil || c.Shards != want {
			t.Errorf("%s is %d shards, want %d: %v", text, c.Shards, want, err)
		}
	}
}

func TestScalar(t *testing.T) {
	for _, s := range []string{"a.jsonl", "/x/y.gguf", "true", "1e5", "a: b", "it's", "#x", "", "no", "-x", "tab\there", "\u00e4"} {
		c, err := load(t, "model: "+scalar(s)+"\ncorpora: x\n")
		if s == "" {
			if err == nil {
				t.Error("an empty model is taken")
			}
			continue
		}
		if err != nil || c.Model != s {
			t.Errorf("%q is written as %s: %v", s, scalar(s), err)
		}
	}
}

// Whatever stands in the file, reading it ends, and what is wrong is wrong use.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{"", "model: m\ncorpora: c\n", "a: &a [*a, *a]\nb: *a", "model: m\ncorpora: [a]\ntrain: {steps: 1}\neval: {x: {split: y}}",
		"? [a]\n: b", "--- 1\n--- 2", "train: [1]", "<<: {model: m}", "model: !!binary aGk=\ncorpora: c", "\tmodel: x"} {
		f.Add(s, "train.lr", "1")
		f.Add(s, "tokenize.shards", "3/16")
	}
	f.Fuzz(func(t *testing.T, text, field, value string) {
		bound.Memory(t, len(text)+len(value))
		if s, err := ParseSlice(value); err == nil && (s.Index < 0 || s.Index >= s.Count) {
			t.Fatalf("%q is %+v", value, s)
		}
		over, err := ParseSet([]string{field + "=" + value})
		if err != nil {
			over = nil
		}
		c, err := load(t, text, over...)
		if err != nil && cli.Code(err) != cli.ExitUsage {
			t.Fatal(err)
		}
		if err == nil && (c.Model == "" || len(c.Corpora) == 0) {
			t.Fatalf("%+v", c)
		}
	})
}

// A folder that is given as a file:// URL is that folder, for every step.
func TestOutIsFileURL(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	c, err := load(t, "model: demo\ncorpora: [x.jsonl]\nout: file://"+dir+"/run\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.at(under(c.Out, "score-1", "out")); got != filepath.FromSlash(dir+"/run/score-1/out") {
		t.Errorf("a step's folder is %s", got)
	}
}

// An input that this user may not read is wrong use, which no other try mends.
func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read all")
	}
	c, err := load(t, "model: demo\ncorpora: [x.jsonl]\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.at("x.jsonl"), []byte("{}"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.hashPath(&memo{}, "x.jsonl", "run.yaml:2"); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "run.yaml:2: open ") {
		t.Error(err)
	}
}
