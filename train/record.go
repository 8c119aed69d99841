package train

import (
	"encoding/json"
	"slices"
	"strings"

	"eaft/model/vocabulary"
)

// deciding are the options that others depend on: of several differences one of
// these is the cause.
var deciding = []string{"--loss", "--preset", "--gate", "--optimizer", "--schedule", "--lora", "--merge"}

// flat are the options and hashes of a record as texts, options named as flags.
type flat struct {
	names  []string // the deciding ones first
	values map[string]string
}

func fields(r *Record) flat {
	f := flat{values: map[string]string{}}
	var m map[string]json.RawMessage
	data, err := json.Marshal(r.Options)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		panic(err) // numbers and strings only, checked to be finite
	}
	for k, v := range m {
		text := string(v)
		if s := ""; json.Unmarshal(v, &s) == nil { // null is an empty text
			text = s
		}
		f.values["--"+strings.ReplaceAll(k, "_", "-")] = text
	}
	for _, k := range []string{"model", "tokens", "scores"} {
		f.values["hash of --"+k] = r.Hashes[k]
	}
	f.values["hash of the model's tokenizer (none: the tokens' own)"] = r.Hashes[vocabulary.ModelTokenizer]
	f.values["hash of the weights of --match-step"] = r.Hashes["match_step"]
	for k, v := range r.Hashes {
		if name, ok := strings.CutPrefix(k, "eval."); ok {
			f.values["hash of --eval "+name] = v
		}
	}
	for k := range f.values {
		f.names = append(f.names, k)
	}
	slices.Sort(f.names)
	slices.SortStableFunc(f.names, func(a, b string) int { return decides(a) - decides(b) })
	return f
}

// decides is the place of an option among the deciding ones, behind them if it is none.
func decides(name string) int {
	if i := slices.Index(deciding, name); i >= 0 {
		return i
	}
	return len(deciding)
}

func show(v string) string {
	if v == "" {
		return "none"
	}
	return v
}
