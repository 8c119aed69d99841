package weights

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"eaft/internal/bound"
	"eaft/tokenize/tokenizer"
)

// parse reads a file of either format that lies in memory.
func parse(format string, data []byte) (map[string]tensor, error) {
	if format == "gguf" {
		_, tensors, err := readGGUF("x.gguf", data)
		return tensors, err
	}
	tensors := map[string]tensor{}
	return tensors, readSafetensors("x.safetensors", data, tensors)
}

var fixtures = map[string]string{"gguf": "testdata/quants.gguf", "safetensors": "testdata/dtypes/model.safetensors"}

// TestTruncation cuts a file at every byte: an error, or, where only padding is
// gone, the same tensors.
func TestTruncation(t *testing.T) {
	for format, file := range fixtures {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := parse(format, data)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for n := range data {
			cut, err := parse(format, data[:n:n])
			if err != nil {
				refused++
				continue
			}
			if len(cut) != len(whole) {
				t.Fatalf("%s cut at %d has %d tensors of %d", format, n, len(cut), len(whole))
			}
			for name, w := range whole {
				if string(cut[name].data) != string(w.data) {
					t.Fatalf("%s cut at %d: %s differs", format, n, name)
				}
			}
		}
		if refused < len(data)-64 {
			t.Errorf("%s: %d of %d cuts are refused", format, refused, len(data))
		}
	}
}

func safetensors(header string, body int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, body)...)
}

func TestSafetensorsLies(t *testing.T) {
	entry := func(name, dtype, shape string, lo, hi uint64) string {
		return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, lo, hi)
	}
	a := entry("a", "F32", "[2]", 0, 8)
	if err := readSafetensors("f", safetensors("{"+a+"}   ", 8), map[string]tensor{}); err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"{" + a + "," + a + "}":                                          "twice",
		"{" + a + "," + entry("a", "F32", "[2]", 8, 16) + "}":            "twice",
		`{"__metadata__":{},"__metadata__":{}}`:                          "twice",
		"{" + a + "," + entry("b", "F32", "[2]", 4, 12) + "}":            "share bytes",
		"{" + a + "," + entry("b", "F32", "[2]", 0, 8) + "}":             "share bytes",
		"{" + entry("a", "F32", "[2]", 8, 0) + "}":                       "outside",
		"{" + entry("a", "F32", "[2]", 0, 1<<62) + "}":                   "outside",
		"{" + entry("a", "F32", "[2]", 1<<63, 1<<63+8) + "}":             "outside",
		"{" + entry("a", "F32", "[2]", 12, 20) + "}":                     "outside",
		"{" + entry("a", "F32", "[3]", 0, 8) + "}":                       "takes 12",
		"{" + entry("a", "BF16", "[2]", 0, 8) + "}":                      "takes 4",
		"{" + entry("a", "F32", "[-2]", 0, 8) + "}":                      "not possible",
		"{" + entry("a", "F32", "[0]", 0, 0) + "}":                       "not possible",
		"{" + entry("a", "F32", "[4294967296,4294967296,2]", 0, 8) + "}": "not possible",
		"{" + entry("a", "F32", "[2.5]", 0, 8) + "}":                     `"a"`,
		"{" + entry("a", "I64", "[1]", 0, 8) + "}":                       "I64",
		"{" + entry("a", "Q4_0", "[32]", 0, 18) + "}":                    "Q4_0",
		`{"a":{"dtype":"F32","shape":[2]}}`:                              "data_offsets",
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-1,7]}}`:        "data_offsets",
		`{"a":3}`: `"a"`,
		`null`:    "header",
		`[]`:      "header",
		`{`:       "header",
		`{} {}`:   "header",
	} {
		err := readSafetensors("f", safetensors(header, 16), map[string]tensor{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", header, err, want)
		}
	}
	for _, n := range []uint64{17, 1 << 20, 1 << 40, 1 << 63, 1<<64 - 1, 1<<64 - 8} {
		data := binary.LittleEndian.AppendUint64(nil, n)
		if err := readSafetensors("f", append(data, "{}              "...), map[string]tensor{}); err == nil {
			t.Errorf("a header of %d bytes: no error", n)
		}
	}
}

// ggufBuilder writes GGUF version 3.
type ggufBuilder struct{ b []byte }

func (g *ggufBuilder) u32(n uint32) { g.b = binary.LittleEndian.AppendUint32(g.b, n) }
func (g *ggufBuilder) u64(n uint64) { g.b = binary.LittleEndian.AppendUint64(g.b, n) }
func (g *ggufBuilder) str(s string) { g.u64(uint64(len(s))); g.b = append(g.b, s...) }

func newGGUF(tensors, keys uint64) *ggufBuilder {
	g := &ggufBuilder{[]byte("GGUF")}
	g.u32(3)
	g.u64(tensors)
	g.u64(keys)
	return g
}

func (g *ggufBuilder) tensor(name string, typ uint32, offset uint64, dims ...uint64) *ggufBuilder {
	g.str(name)
	g.u32(uint32(len(dims)))
	for _, d := range dims {
		g.u64(d)
	}
	g.u32(typ)
	g.u64(offset)
	return g
}

func (g *ggufBuilder) file(body int) []byte {
	for len(g.b)%32 != 0 {
		g.b = append(g.b, 0)
	}
	return append(g.b, make([]byte, body)...)
}

func TestGGUFLies(t *testing.T) {
	if _, _, err := readGGUF("f", newGGUF(2, 0).tensor("a", 0, 0, 8).tensor("b", 0, 32, 8).file(64)); err != nil {
		t.Fatal(err)
	}
	align := func(n uint32) []byte {
		g := newGGUF(0, 1)
		g.str("general.alignment")
		g.u32(typeU32)
		g.u32(n)
		return g.file(64)
	}
	value := func(typ uint32, rest ...uint64) []byte {
		g := newGGUF(0, 1)
		g.str("k")
		g.u32(typ)
		for _, n := range rest {
			g.u64(n)
		}
		return g.file(64)
	}
	array := func(typ uint32, n uint64) []byte {
		g := newGGUF(0, 1)
		g.str("k")
		g.u32(typeArray)
		g.u32(typ)
		g.u64(n)
		return g.file(64)
	}
	twice := newGGUF(0, 2)
	for range 2 {
		twice.str("k")
		twice.u32(typeU32)
		twice.u32(1)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"overlap":         {newGGUF(2, 0).tensor("a", 0, 0, 8).tensor("b", 0, 16, 8).file(64), "share bytes"},
		"the same bytes":  {newGGUF(2, 0).tensor("a", 0, 0, 8).tensor("b", 0, 0, 8).file(64), "share bytes"},
		"a name twice":    {newGGUF(2, 0).tensor("a", 0, 0, 8).tensor("a", 0, 32, 8).file(64), "twice"},
		"outside":         {newGGUF(1, 0).tensor("a", 0, 64, 8).file(64), "outside"},
		"far outside":     {newGGUF(1, 0).tensor("a", 0, 1<<64-32, 8).file(64), "outside"},
		"too large":       {newGGUF(1, 0).tensor("a", 0, 0, 17).file(64), "outside"},
		"product":         {newGGUF(1, 0).tensor("a", 0, 0, 1<<32, 1<<32).file(64), "not possible"},
		"dimension":       {newGGUF(1, 0).tensor("a", 0, 0, 1<<63).file(64), "dimension"},
		"no values":       {newGGUF(1, 0).tensor("a", 0, 0, 0).file(64), "not possible"},
		"dimensions":      {newGGUF(1, 0).tensor("a", 0, 0, 1, 1, 1, 1, 1).file(64), "5 dimensions"},
		"half a block":    {newGGUF(1, 0).tensor("a", 2, 0, 16).file(64), "blocks"},
		"unknown type":    {newGGUF(1, 0).tensor("a", 14, 0, 256).file(512), "ggml type 14"},
		"many tensors":    {newGGUF(1<<63, 0).file(64), "f"},
		"many keys":       {newGGUF(0, 1<<63).file(64), "f"},
		"a key twice":     {twice.file(64), "twice"},
		"no alignment":    {align(0), "alignment"},
		"alignment":       {align(1 << 31), "alignment"},
		"unknown value":   {value(99, 0), "unknown type"},
		"long text":       {value(typeString, 1<<63), "truncated"},
		"long texts":      {array(typeString, 1<<61), "does not fit"},
		"long numbers":    {array(typeI32, 1<<62), "does not fit"},
		"long scores":     {array(typeF32, 1<<62), "does not fit"},
		"long scalars":    {array(typeF64, 1<<61), "does not fit"},
		"array of arrays": {array(typeArray, 1), "arrays of type"},
		"version 1":       {append([]byte("GGUF\x01\x00\x00\x00"), make([]byte, 64)...), "version 1"},
		"big-endian":      {append([]byte("GGUF\x00\x00\x00\x03"), make([]byte, 64)...), "version"},
		"another file":    {make([]byte, 64), "GGUF"},
	} {
		if _, _, err := readGGUF("f", c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// checkTensors reads every tensor of a file that was accepted.
func checkTensors(t *testing.T, tensors map[string]tensor) {
	c := &Checkpoint{ref: "fuzz", tensors: tensors}
	for _, name := range c.Names() {
		info, _ := c.Info(name)
		rows, cols := size(info.Shape)
		if err := c.ReadRows(name, 0, rows, make([]float32, rows*cols)); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzGGUF: whatever the bytes, an error or tensors that can be read, and a
// vocabulary and a chat template or errors.
func FuzzGGUF(f *testing.F) {
	for _, path := range []string{fixtures["gguf"], "../testdata/llama3/model.gguf"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(newGGUF(2, 0).tensor("a", 0, 0, 8).tensor("b", 2, 32, 32).file(64))
	f.Add(newGGUF(1<<60, 1<<60).file(0))
	for _, kind := range []string{"gpt2", "llama"} {
		f.Add(vocabularyGGUF(kind))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		md, tensors, err := readGGUF("x.gguf", data)
		if err != nil {
			return
		}
		checkTensors(t, tensors)
		c := &Checkpoint{ref: "x.gguf", gguf: md, tensors: tensors}
		c.ChatTemplate()
		if json, err := c.TokenizerJSON(); err == nil {
			if _, err := tokenizer.FromJSON(json); err != nil {
				t.Fatalf("a vocabulary became a tokenizer.json that cannot be read: %v", err)
			}
			c.GGUFVocabulary(1 << 10)
		}
	})
}

// vocabularyGGUF is a file with a small vocabulary and no tensors.
func vocabularyGGUF(kind string) []byte {
	g := newGGUF(0, 6)
	texts := func(key string, list ...string) {
		g.str(key)
		g.u32(typeArray)
		g.u32(typeString)
		g.u64(uint64(len(list)))
		for _, s := range list {
			g.str(s)
		}
	}
	numbers := func(key string, typ uint32, list ...uint32) {
		g.str(key)
		g.u32(typeArray)
		g.u32(typ)
		g.u64(uint64(len(list)))
		for _, n := range list {
			g.u32(n)
		}
	}
	g.str("tokenizer.ggml.model")
	g.u32(typeString)
	g.str(kind)
	texts("tokenizer.ggml.tokens", "<unk>", "a", "b", "ab", "<0x0A>", "\u2581a")
	numbers("tokenizer.ggml.token_type", typeI32, 3, 1, 1, 1, 6, 1)
	texts("tokenizer.ggml.merges", "a b")
	numbers("tokenizer.ggml.scores", typeF32, 0, 0xbf800000, 0xc0000000, 0xc0400000, 0, 0xc0800000)
	g.str("tokenizer.chat_template")
	g.u32(typeString)
	g.str("{{ messages }}")
	return g.file(0)
}

// FuzzFolder: whatever the side files of a Hugging Face folder hold, an error or
// what they say; no shard outside the folder is asked for.
func FuzzFolder(f *testing.F) {
	weights, err := os.ReadFile(fixtures["safetensors"])
	if err != nil {
		f.Fatal(err)
	}
	index, err := os.ReadFile("../testdata/llama3/model.safetensors.index.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"model_type":"llama"}`), index, []byte(`{"chat_template":"x","bos_token":{"content":"<s>"},"eos_token":null}`))
	f.Add([]byte("{}"), []byte(`{"weight_map":{"a":"../x.safetensors","b":"w.safetensors"}}`), []byte(`{"chat_template":[{"name":"default","template":"x"}]}`))
	f.Add([]byte(""), []byte(`{"weight_map":{"f32":"w.safetensors"}}`), []byte(`{"unk_token":"<unk>","add_bos_token":true,"pad_token":{"content":1}}`))
	f.Fuzz(func(t *testing.T, config, index, side []byte) {
		bound.Memory(t, len(config)+len(index)+len(side))
		c, err := OpenFS(strict{t, fstest.MapFS{"config.json": {Data: config}, indexFile: {Data: index}, "w.safetensors": {Data: weights},
			"tokenizer_config.json": {Data: side}, "tokenizer.json": {Data: []byte(`{}`)}}}, "x")
		if err != nil {
			return
		}
		checkTensors(t, c.tensors)
		c.ChatTemplate()
		c.GGUFVocabulary(8)
	})
}

// strict is a folder that must not be asked for anything outside it.
type strict struct {
	t     *testing.T
	files fstest.MapFS
}

func (s strict) Open(name string) (fs.File, error) {
	if strings.Contains(name, "/") || name == ".." {
		s.t.Fatalf("%q is asked for", name)
	}
	return s.files.Open(name)
}

func FuzzSafetensors(f *testing.F) {
	if data, err := os.ReadFile(fixtures["safetensors"]); err == nil {
		f.Add(data)
	}
	f.Add(safetensors(`{"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}`, 2))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<64-8))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Memory(t, len(data))
		if tensors, err := parse("safetensors", data); err == nil {
			checkTensors(t, tensors)
		}
	})
}
