package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// expected is what the formats' own libraries read (testdata/make_fixtures.py).
func expected(t *testing.T, prefix string) map[string][]float32 {
	t.Helper()
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]byte // base64
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for name, b := range all {
		if name, ok := strings.CutPrefix(name, prefix+"."); ok {
			v := make([]float32, len(b)/4)
			for i := range v {
				v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
			out[name] = v
		}
	}
	return out
}

// size is the rows and the values of a row.
func size(shape []int) (rows, cols int) {
	rows, cols = 1, 1
	for i, n := range shape {
		if i == 0 && len(shape) > 1 {
			rows = n
		} else {
			cols *= n
		}
	}
	return rows, cols
}

func readAll(t *testing.T, c *Checkpoint, name string) []float32 {
	t.Helper()
	info, ok := c.Info(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	rows, cols := size(info.Shape)
	whole := make([]float32, rows*cols)
	if err := c.ReadRows(name, 0, rows, whole); err != nil {
		t.Fatal(err)
	}
	one := make([]float32, cols)
	for r := range rows {
		if err := c.ReadRows(name, r, r+1, one); err != nil {
			t.Fatal(err)
		}
		if !sameBits(one, whole[r*cols:(r+1)*cols]) {
			t.Errorf("%s: row %d alone differs", name, r)
		}
	}
	return whole
}

// sameBits compares bits; any NaN is like another.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

func open(t *testing.T, ref string) *Checkpoint {
	t.Helper()
	c, err := Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAgainstLibraries(t *testing.T) {
	for ref, prefix := range map[string]string{"quants.gguf": "gguf", "dtypes": "safetensors", "sharded": "safetensors"} {
		c, want := open(t, filepath.Join("testdata", ref)), expected(t, prefix)
		if len(c.Names()) != len(want) || !slices.IsSorted(c.Names()) {
			t.Errorf("%s: names %v", ref, c.Names())
		}
		for name, v := range want {
			if got := readAll(t, c, name); !sameBits(got, v) {
				t.Errorf("%s: %s: got %v, want %v", ref, name, got, v)
			}
		}
	}
	c := open(t, "testdata/dtypes")
	if info, _ := c.Info("bf16"); info.DType != "BF16" || !slices.Equal(info.Shape, []int{2, 3, 5}) {
		t.Errorf("bf16: %v", info)
	}
	c = open(t, "testdata/quants.gguf")
	if info, _ := c.Info("t.Q4_1"); info.DType != "Q4_1" || !slices.Equal(info.Shape, []int{3, 64}) {
		t.Errorf("Q4_1: %v", info)
	}
}

func TestReadRowsRefuses(t *testing.T) {
	c := open(t, "testdata/dtypes")
	for _, r := range []struct{ lo, hi, n int }{{-1, 1, 12}, {0, 5, 30}, {2, 1, 0}, {0, 1, 5}, {0, 1, 7}} {
		if err := c.ReadRows("f32", r.lo, r.hi, make([]float32, r.n)); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
	if err := c.ReadRows("none", 0, 0, nil); err == nil {
		t.Error("no error for a tensor that is not there")
	}
}

func TestMetadata(t *testing.T) {
	c := open(t, "testdata/quants.gguf")
	m := c.GGUF()
	if v, ok := m.Uint("test.uint32"); !ok || v != 7 {
		t.Error("uint32", v, ok)
	}
	if v, ok := m.Uint("test.uint64"); !ok || v != 1<<63 {
		t.Error("uint64", v, ok)
	}
	if v, ok := m.Uint("test.int64"); ok {
		t.Error("-9 as unsigned", v)
	}
	if v, ok := m.Float("test.int64"); !ok || v != -9 {
		t.Error("int64", v, ok)
	}
	if v, ok := m.Float("test.float32"); !ok || v != 0.5 {
		t.Error("float32", v, ok)
	}
	if v, ok := m.Float("test.float64"); !ok || v != 1e300 {
		t.Error("float64", v, ok)
	}
	if v, ok := m.Bool("test.bool"); !ok || !v {
		t.Error("bool", v, ok)
	}
	if v, ok := m.String("test.string"); !ok || v != "grün" {
		t.Error("string", v, ok)
	}
	if v, ok := m.Strings("test.strings"); !ok || !slices.Equal(v, []string{"a", "", "ü"}) {
		t.Error("strings", v, ok)
	}
	if v, ok := m.Int32s("test.int32s"); !ok || !slices.Equal(v, []int32{1, -2, 3}) {
		t.Error("int32s", v, ok)
	}
	if _, ok := m.String("test.bool"); ok {
		t.Error("a bool as a string")
	}
	src, bos, eos, err := c.ChatTemplate()
	if src != "{{ messages }}" || bos != "<s>" || eos != "</s>" || err != nil {
		t.Error("chat template", src, bos, eos, err)
	}
	data, err := c.TokenizerJSON()
	if err != nil || !bytes.Contains(data, []byte(`"a b"`)) {
		t.Errorf("tokenizer %s %v", data, err)
	}
	if c.Config() != nil {
		t.Error("a GGUF has a config.json")
	}
	if _, err := c.File("config.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a GGUF has side files:", err)
	}
}

func TestHash(t *testing.T) {
	hash := func(ref string) string {
		h, err := open(t, ref).Hash()
		if err != nil || !strings.HasPrefix(h, "sha256:") {
			t.Fatal(h, err)
		}
		return h
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/dtypes")); err != nil {
		t.Fatal(err)
	}
	if hash(dir) != hash("testdata/dtypes") {
		t.Error("the folder's name counts")
	}
	write(t, dir, "config.json", `{"model_type": "qwen2"}`)
	if hash(dir) == hash("testdata/dtypes") {
		t.Error("the configuration does not count")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestChatTemplate(t *testing.T) {
	for _, c := range []struct{ config, jinja, src, bos, eos, err string }{
		{config: `{}`},
		{config: `{"chat_template": null, "bos_token": null}`},
		{config: `{"chat_template": "T", "bos_token": "<s>", "eos_token": "</s>"}`, src: "T", bos: "<s>", eos: "</s>"},
		{config: `{"chat_template": [{"name": "tool", "template": "U"}, {"name": "default", "template": "T"}], "eos_token": {"content": "E", "lstrip": false}}`, src: "T", eos: "E"},
		{config: `{"chat_template": "T", "bos_token": "B"}`, jinja: "J", src: "J", bos: "B"},
		{jinja: "J", src: "J"},
		{},
		{config: `{"chat_template": [{"name": "tool", "template": "U"}]}`, err: "default"},
		{config: `{"chat_template": 3}`, err: "chat_template"},
		{config: `{"bos_token": 3}`, err: "bos_token"},
		{config: `{"eos_token": {"text": "x"}}`, err: "eos_token"},
		{config: `{`, err: "tokenizer_config.json"},
	} {
		dir := t.TempDir()
		write(t, dir, "config.json", "{}")
		if c.config != "" {
			write(t, dir, "tokenizer_config.json", c.config)
		}
		if c.jinja != "" {
			write(t, dir, "chat_template.jinja", c.jinja)
		}
		src, bos, eos, err := open(t, dir).ChatTemplate()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.config, err, c.err)
			}
		} else if err != nil || src != c.src || bos != c.bos || eos != c.eos {
			t.Errorf("%s: %q %q %q %v", c.config, src, bos, eos, err)
		}
	}
}

func TestFolders(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Error(err)
	}
	if _, err := Open("testdata/dtypes/model.safetensors"); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Error(err)
	}
	dir := t.TempDir()
	write(t, dir, "config.json", "{}")
	c := open(t, dir)
	if len(c.Names()) != 0 {
		t.Error(c.Names())
	}
	if _, err := c.TokenizerJSON(); !errors.Is(err, ErrNoTokenizer) {
		t.Error(err)
	}
	write(t, dir, "tokenizer.json", "{}")
	if data, err := c.TokenizerJSON(); string(data) != "{}" || err != nil {
		t.Error(string(data), err)
	}
	for name, want := range map[string]string{
		`{"weight_map": {"a": "../x"}}`:              "no file of this folder",
		`{"weight_map": {"a": ".."}}`:                "no file of this folder",
		`{"weight_map": {"a": "/etc/passwd"}}`:       "no file of this folder",
		`{"weight_map": {"a": "b/c"}}`:               "no file of this folder",
		`{"weight_map": {"a": ""}}`:                  "no file of this folder",
		`{"weight_map": {}}`:                         "empty",
		`{"weight_map": {"a": "none.safetensors"}}`:  "none.safetensors",
		`{"weight_map": {"a": "shard.safetensors"}}`: `"a"`,
		`[`: indexFile,
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/dtypes")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, singleFile), filepath.Join(dir, "shard.safetensors")); err != nil {
			t.Fatal(err)
		}
		write(t, dir, indexFile, name)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	// Beside a single file an index has no part, as in transformers.
	both := t.TempDir()
	if err := os.CopyFS(both, os.DirFS("testdata/dtypes")); err != nil {
		t.Fatal(err)
	}
	write(t, both, indexFile, `{"weight_map": {"a": "none.safetensors"}}`)
	if got, want := open(t, both).Names(), open(t, "testdata/dtypes").Names(); !slices.Equal(got, want) {
		t.Errorf("a folder with a single file and an index holds %v, want %v", got, want)
	}
	// A file read through an fs.FS is the same model.
	a, err := OpenFS(os.DirFS("testdata/sharded"), "embedded")
	if err != nil {
		t.Fatal(err)
	}
	ha, _ := a.Hash()
	hb, _ := open(t, "testdata/sharded").Hash()
	if ha != hb {
		t.Error("hashes", ha, hb)
	}
}

func TestDemo(t *testing.T) {
	c := open(t, "demo")
	if c.Ref() != "demo" || len(c.Config()) == 0 || len(c.Names()) == 0 {
		t.Errorf("ref %q, %d bytes of config.json, tensors %v", c.Ref(), len(c.Config()), c.Names())
	}
	if _, err := c.TokenizerJSON(); err != nil {
		t.Error(err)
	}
	if src, _, _, err := c.ChatTemplate(); src == "" || err != nil {
		t.Error("no chat template", err)
	}
}

// A model of the Hub is opened from the Hub's cache, with or without its weights. What
// is not there, and what may be a path, is an error.
func TestHub(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	const commit = "0123456789abcdef0123456789abcdef01234567"
	model := filepath.Join(os.Getenv("HF_HUB_CACHE"), "models--org--model")
	dir := filepath.Join(model, "snapshots", commit)
	for _, d := range []string{dir, filepath.Join(model, "refs")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(model, "refs"), "main", commit)
	write(t, dir, "config.json", `{"model_type":"llama"}`)
	write(t, dir, "tokenizer_config.json", `{"chat_template":"x"}`)
	for _, ref := range []string{"org/model", "org/model@" + commit} {
		c, err := OpenSideFiles(ref)
		if err != nil {
			t.Fatal(err)
		}
		if source, _, _, err := c.ChatTemplate(); source != "x" || err != nil || c.Ref() != ref {
			t.Errorf("%s: template %q, %v", c.Ref(), source, err)
		}
		c.Close()
		if _, err := Open(ref); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the weights of "+ref+" are not in the Hub's cache") {
			t.Errorf("without weights: %v", err)
		}
	}
	header := `{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	write(t, dir, singleFile, string(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))+header+"\x00\x00\x80?")
	if c := open(t, "org/model"); len(c.Names()) != 1 {
		t.Errorf("weights %q", c.Names())
	}
	if err := os.Mkdir("org", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"org/model", "./org/model", "other/model.gguf", "other/model/main", "/other/model", "model"} {
		if _, err := Open(ref); err == nil || !strings.Contains(err.Error(), "no such file or folder") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// locked is a folder that says of one file that it may not be read.
type locked struct {
	fs.FS
	name string
}

func (l locked) Open(name string) (fs.File, error) {
	if name == l.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return l.FS.Open(name)
}

// A file that cannot be looked at is not taken for one that is not there, and errors
// have names in buckets as they were given.
func TestUnreadableFiles(t *testing.T) {
	const ref = "s3://bucket/model"
	whole := fstest.MapFS{"config.json": {Data: []byte("{}")}, indexFile: {Data: []byte("[")}, "tokenizer_config.json": {Data: []byte("[")}}
	for _, name := range []string{singleFile, indexFile} {
		if _, err := OpenFS(locked{whole, name}, ref); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), ref+"/"+name) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if _, err := OpenFS(whole, ref); err == nil || !strings.Contains(err.Error(), ref+"/"+indexFile) {
		t.Errorf("an index that is no object: the error is %v", err)
	}
	delete(whole, indexFile)
	c, err := OpenFS(whole, ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.ChatTemplate(); err == nil || !strings.Contains(err.Error(), ref+"/tokenizer_config.json") {
		t.Errorf("a tokenizer_config.json that is no object: the error is %v", err)
	}
}
