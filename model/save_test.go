package model_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
)

// sources are the fixtures Save is tried on, as pairs of reference and variant.
var sources = [][2]string{
	{"testdata/llama", "llama"}, {"testdata/llama3", "llama3"}, {"testdata/mistral", "mistral"},
	{"testdata/qwen2", "qwen2"}, {"testdata/qwen3", "qwen3"},
	{"testdata/llama3/model.gguf", "llama3"}, {"testdata/qwen3/model.gguf", "qwen3"},
}

func save(t *testing.T, m *model.Model, ref string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	if err := m.Save(dir, open(t, ref)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSavedModelScoresTheSameBits(t *testing.T) {
	dev := newDevice(t, 2)
	for _, s := range sources {
		e := readExpected(t, s[1])
		for _, o := range []model.Options{{}, {DType: compute.BF16}, {Train: true}, {Train: true, DType: compute.BF16}} {
			m := load(t, dev, s[0], o)
			want, err := m.Score(e.batch, e.targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			dir := save(t, m, s[0])
			again := load(t, dev, dir, model.Options{DType: o.DType})
			got, err := again.Score(e.batch, e.targets, topK)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, s[0], want, got, 0, len(e.targets))
			if !reflect.DeepEqual(again.Spec(), m.Spec()) {
				t.Errorf("%s: the spec was %+v and is %+v", s[0], m.Spec(), again.Spec())
			}
		}
	}
}

// What training changed is what is saved.
func TestSaveAfterTraining(t *testing.T) {
	dev := newDevice(t, 2)
	e := readExpected(t, "qwen2")
	m := load(t, dev, "testdata/qwen2", model.Options{Train: true})
	before, err := m.Accumulate(e.batch, e.targets, topK, eaftWeights(topK))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		x := dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32)
		y := dev.NewTensor(p.Value.Rows(), p.Value.Cols(), compute.F32)
		dev.AdamW(p.Value, p.Grad, x, y, compute.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradScale: 1, Step: 1})
	}
	m.Refresh()
	after, err := m.Score(e.batch, e.targets, topK)
	if err != nil {
		t.Fatal(err)
	}
	if sum(after.LogProb) <= sum(before.LogProb) {
		t.Errorf("a step of AdamW took the targets from %g to %g nats", sum(before.LogProb), sum(after.LogProb))
	}
	got, err := load(t, dev, save(t, m, "testdata/qwen2"), model.Options{}).Score(e.batch, e.targets, topK)
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "trained", after, got, 0, len(e.targets))
}

func sum(x []float32) (s float64) {
	for _, v := range x {
		s += float64(v)
	}
	return s
}

func TestSavedFolder(t *testing.T) {
	dev := newDevice(t, 1)
	m := load(t, dev, "testdata/llama", model.Options{DType: compute.BF16})
	dir := save(t, m, "testdata/llama")
	original, saved := readConfig(t, "testdata/llama"), readConfig(t, dir)
	original["dtype"] = "bfloat16"
	if !reflect.DeepEqual(original, saved) {
		t.Errorf("the config was, but for its dtype, %v and is %v", original, saved)
	}
	a, _ := os.ReadFile("testdata/llama/generation_config.json")
	b, err := os.ReadFile(filepath.Join(dir, "generation_config.json"))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("generation_config.json is not kept: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if want := []string{"config.json", "generation_config.json", "model.safetensors"}; !reflect.DeepEqual(names, want) {
		t.Errorf("the folder holds %v, want %v", names, want)
	}

	// Over itself is fine, over another's shards is not, nor is another's config.
	if err := m.Save(dir, open(t, "testdata/llama")); err != nil {
		t.Error(err)
	}
	shards := copyFolder(t, "llama3", func(map[string]any) {})
	if err := m.Save(shards, open(t, "testdata/llama")); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("saving into a folder of shards: %v", err)
	}
	if err := m.Save(dir, open(t, "testdata/qwen2")); err == nil || !strings.Contains(err.Error(), "testdata/qwen2") {
		t.Errorf("saving with another model's config: %v", err)
	}
}

// All chat templates of a model are saved, in the form that it has them: beside
// chat_template.jinja transformers would not read a list.
func TestSavedTemplates(t *testing.T) {
	tokenizer, err := open(t, "demo").File("tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, newDevice(t, 1), "testdata/llama", model.Options{})
	const list = `{"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"}]}`
	for _, c := range []struct{ files, want map[string]string }{
		{map[string]string{"tokenizer_config.json": list}, map[string]string{"chat_template.jinja": ""}},
		{map[string]string{"tokenizer_config.json": list, "chat_template.jinja": "J"}, map[string]string{"chat_template.jinja": "J"}},
		{map[string]string{"tokenizer_config.json": `{"chat_template":"D"}`}, map[string]string{"chat_template.jinja": "D"}},
		{map[string]string{"chat_template.jinja": "J", "additional_chat_templates/tool_use.jinja": "T", "additional_chat_templates/notes.txt": "N"},
			map[string]string{"chat_template.jinja": "J", "additional_chat_templates/tool_use.jinja": "T", "additional_chat_templates/notes.txt": ""}},
	} {
		from := copyFolder(t, "llama", func(map[string]any) {})
		c.files["tokenizer.json"] = string(tokenizer)
		for name, text := range c.files {
			path := filepath.Join(from, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dir := save(t, m, from)
		for name, want := range c.want {
			if data, _ := os.ReadFile(filepath.Join(dir, name)); string(data) != want {
				t.Errorf("of %v: %s holds %q, want %q", slices.Sorted(maps.Keys(c.files)), name, data, want)
			}
		}
		a, _ := json.Marshal(readFields(t, from))
		if b, _ := json.Marshal(readFields(t, dir)); c.files["tokenizer_config.json"] != "" && !bytes.Equal(a, b) {
			t.Errorf("tokenizer_config.json was %s and is %s", a, b)
		}
	}
}

// readFields is a folder's tokenizer_config.json; nil: none.
func readFields(t *testing.T, dir string) (fields map[string]any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return fields
}

func readConfig(t *testing.T, dir string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// python runs a script of testdata; EAFT_PYTHON names an interpreter that has
// the packages of make_fixtures.py.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	exe := os.Getenv("EAFT_PYTHON")
	if exe == "" {
		t.Skip("set EAFT_PYTHON to a Python with torch and transformers")
	}
	cmd := exec.Command(exe, append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "HF_HUB_OFFLINE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", script, args, err, out)
	}
	return string(out)
}

func TestTransformersLoadsWhatSaveWrote(t *testing.T) {
	dev := newDevice(t, 2)
	var pairs []string
	for _, s := range sources {
		m := load(t, dev, s[0], model.Options{Train: true})
		pairs = append(pairs, "testdata/"+s[1], save(t, m, s[0]))
	}
	python(t, "check_saved.py", pairs...)
}
