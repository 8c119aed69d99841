package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// families maps a config's model_type to the reader of its family.
var families = map[string]func(*config) Spec{
	"llama":   llamaSpec,
	"mistral": mistralSpec,
	"qwen2":   qwen2Spec,
	"qwen3":   qwen3Spec,
}

// hfSpec reads the config.json of the folder ref; nil: there is none.
func hfSpec(ref string, data []byte) (Spec, error) {
	if data == nil {
		return Spec{}, fmt.Errorf("%s: no config.json is in this folder, and nothing else says what the weights are: download the model again, all of its files", ref)
	}
	c := &config{file: ref + ": config.json"}
	if err := json.Unmarshal(data, &c.fields); err != nil {
		return Spec{}, fmt.Errorf("%s is not a JSON object: %w", c.file, err)
	}
	family := c.string("model_type", "")
	read, ok := families[family]
	if !ok && c.err == nil {
		known := make([]string, 0, len(families))
		for f := range families {
			known = append(known, f)
		}
		sort.Strings(known)
		c.refuse("model_type", family, strings.Join(known, ", "))
	}
	if c.err != nil {
		return Spec{}, c.err
	}
	s := read(c)
	return s, c.err
}

// config gives typed access to the fields of a config.json and keeps the first
// error. A field that is null counts as absent, as in transformers.
type config struct {
	file   string
	fields map[string]json.RawMessage
	err    error
}

const required = -1 // default of an integer that must be given

func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %s", c.file, fmt.Sprintf(format, args...))
	}
}

func (c *config) refuse(field, value, supported string) {
	c.fail("%s is %q, which is not supported; supported: %s", field, value, supported)
}

// has says whether a field is given and not null.
func (c *config) has(field string) bool {
	raw, ok := c.fields[field]
	return ok && !bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// get decodes a field into v and says whether it was there.
func (c *config) get(field string, v any, want string) bool {
	if !c.has(field) {
		return false
	}
	if err := json.Unmarshal(c.fields[field], v); err != nil {
		c.fail("%s is %s; it must be %s", field, onLine(c.fields[field]), want)
		return false
	}
	return true
}

// onLine is a JSON value for an error: on one line, and its beginning if it is long.
func onLine(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		b.Write(raw)
	}
	if text := []rune(b.String()); len(text) > 60 {
		return string(text[:60]) + "..."
	}
	return b.String()
}

func (c *config) int(field string, def int) int {
	v := def
	if !c.get(field, &v, "an integer") && def == required {
		c.fail("%s is missing", field)
	}
	return v
}

func (c *config) float(field string, def float64) float64 {
	c.get(field, &def, "a number")
	return def
}

func (c *config) bool(field string, def bool) bool {
	c.get(field, &def, "true or false")
	return def
}

func (c *config) string(field, def string) string {
	c.get(field, &def, "a string")
	return def
}

// decoder reads what the families write alike. kvHeads is the family's default
// for num_key_value_heads; 0 means as many as query heads. Defaults here and in
// the families' files are those of transformers' configuration classes.
func (c *config) decoder(kvHeads int) Spec {
	s := Spec{
		Family:       c.string("model_type", ""),
		Vocab:        c.int("vocab_size", required),
		Hidden:       c.int("hidden_size", required),
		Intermediate: c.int("intermediate_size", required),
		Layers:       c.int("num_hidden_layers", required),
		Heads:        c.int("num_attention_heads", required),
		Eps:          float32(c.float("rms_norm_eps", 1e-6)),
		MaxPositions: c.int("max_position_embeddings", 0),
		TiedHead:     c.bool("tie_word_embeddings", false),
		RoPE:         c.rope(),
	}
	if kvHeads == 0 || c.has("num_key_value_heads") != (c.fields["num_key_value_heads"] != nil) {
		kvHeads = s.Heads // an explicit null means the same
	}
	s.KVHeads = c.int("num_key_value_heads", kvHeads)
	if act := c.string("hidden_act", "silu"); act != "silu" && act != "swish" {
		c.refuse("hidden_act", act, "silu")
	}
	if c.has("quantization_config") {
		c.fail("quantization_config is set: quantised folders are not supported; use the original weights or a GGUF file")
	}
	if raw, given := c.fields["is_causal"]; given && string(bytes.TrimSpace(raw)) != "true" { // null is not true either
		c.fail("is_causal is %s: the model's tokens see what follows them, and only models that see what is before are supported", onLine(raw))
	}
	if c.has("per_layer_config") {
		c.fail("per_layer_config is set: layers that differ in more than their sliding windows are not supported")
	}
	s.window(0)
	return s
}

// headDim reads head_dim, or derives it as most families do.
func (c *config) headDim(s *Spec) int {
	if c.has("head_dim") {
		return c.int("head_dim", required)
	}
	if s.Heads < 1 || s.Hidden%s.Heads != 0 {
		c.fail("hidden_size %d is not a multiple of num_attention_heads %d, and head_dim is not given", s.Hidden, s.Heads)
		return 0
	}
	return s.Hidden / s.Heads
}

// rope reads rope_scaling (transformers 4) or, where that is absent or empty,
// rope_parameters (5). rope_theta may stand in them or beside them.
func (c *config) rope() RoPE {
	r := RoPE{Theta: c.float("rope_theta", 10000)}
	partial := c.float("partial_rotary_factor", 1)
	sub := &config{}
	for _, field := range []string{"rope_scaling", "rope_parameters"} {
		if len(sub.fields) == 0 {
			sub.file = c.file + ": " + field
			c.get(field, &sub.fields, "an object")
		}
	}
	for _, layers := range layerTypes {
		if sub.has(layers) {
			sub.fail("%s is set: positions that differ between kinds of layers are not supported", layers)
		}
	}
	if partial = sub.float("partial_rotary_factor", partial); partial != 1 {
		c.fail("partial_rotary_factor is %g; only 1 is supported", partial)
	}
	r.Theta = sub.float("rope_theta", r.Theta)
	kind := sub.string("rope_type", sub.string("type", "default"))
	switch kind {
	case "default":
	case "linear", "llama3":
		r.Scaling = kind
		r.Factor = sub.float("factor", 0)
		if kind == "llama3" {
			r.LowFreq = sub.float("low_freq_factor", 0)
			r.HighFreq = sub.float("high_freq_factor", 0)
			r.Original = sub.int("original_max_position_embeddings", 0)
			// transformers 4 goes by the one in rope_scaling, 5 by the one beside it.
			if beside := c.int("original_max_position_embeddings", r.Original); beside != r.Original {
				sub.fail("original_max_position_embeddings is %d, and %d in config.json itself: which one counts depends on the version of transformers; give one of them in both places",
					r.Original, beside)
			}
		}
	default:
		sub.refuse("rope_type", kind, "default, linear, llama3")
	}
	if c.err == nil {
		c.err = sub.err
	}
	return r
}

// layerTypes are what layer_types may name.
var layerTypes = []string{"full_attention", "sliding_attention"}

// layerWindows gives the layers that layer_types calls sliding this window, the
// others none, and says whether that is given. none is why there is no window.
func (c *config) layerWindows(s *Spec, window int, none string) bool {
	var types []string
	if !c.get("layer_types", &types, "a list of strings") {
		return false
	}
	if len(types) != s.Layers {
		c.fail("layer_types has %d entries for %d layers", len(types), s.Layers)
		return true
	}
	s.window(0)
	for i, t := range types[:len(s.Windows)] { // fewer only where check refuses
		switch {
		case !slices.Contains(layerTypes, t):
			c.refuse("layer_types", t, strings.Join(layerTypes, ", "))
		case t == "sliding_attention" && window == 0:
			c.fail("layer_types[%d] is %q, but %s", i, t, none)
		case t == "sliding_attention":
			s.Windows[i] = window
		}
	}
	return true
}
