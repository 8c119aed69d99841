package tokenize

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/parquet"
	"eaft/tokenize/template"
)

// weightTarget is what --map calls the field with a row's weight, and the canonical
// record and the dataset's column too.
const weightTarget = "weight"

// weigh puts the weight of a record's row into its canonical form, as a float32. A
// text is one as CSV has them; a field that is missing, null or empty is none.
func (l *layout) weigh(record, out *template.Dict) error {
	field := l.fields[weightTarget]
	if field == "" {
		return nil
	}
	v, _ := find(record, field)
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case json.Number:
		s = v.String()
	case string:
		if s = strings.TrimSpace(v); s == "" {
			return nil
		}
	default:
		return rejectf(wrongType, "%s is %s where a weight is needed", field, kindOf(v))
	}
	w, err := strconv.ParseFloat(s, 32)
	if err != nil || !(w >= 0 && w <= math.MaxFloat32) {
		return rejectf(wrongType, "%s is %.40q, and a weight is a finite number >= 0", field, s)
	}
	out.Set(weightTarget, float32(w))
	return nil
}

// weightOf is the weight of a canonical record; nil if it has none.
func weightOf(data *template.Dict) *float32 {
	if w, ok := data.Values[weightTarget].(float32); ok {
		return &w
	}
	return nil
}

// Weights are those of a dataset's rows that have one.
type Weights struct {
	Rows  int64   `json:"rows"`
	Least float32 `json:"least"`
	Most  float32 `json:"most"`
}

// add takes in other weights; nil on either side: none.
func (w *Weights) add(o *Weights) *Weights {
	if w == nil || o == nil {
		if w == nil && o != nil {
			one := *o
			return &one
		}
		return w
	}
	return &Weights{w.Rows + o.Rows, min(w.Least, o.Least), max(w.Most, o.Most)}
}

func weightsOf(row *parquet.TokensRow) *Weights {
	if row.Weight == nil {
		return nil
	}
	return &Weights{1, *row.Weight, *row.Weight}
}

// weighted refuses a run whose mapping names a field for the weight that no row has.
func (r *run) weighted() error {
	field := r.o.Map[weightTarget]
	if field == "" {
		return nil
	}
	for _, s := range r.sets {
		if s.report.Weights != nil {
			return nil
		}
	}
	return cli.Usagef("--map weight=%s: no row has this field: name the one with the weights, or leave it out", field)
}
