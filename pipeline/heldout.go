package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
)

// heldOutSummary is what a summary.json says of held-out sets: lines like those of eval.jsonl,
// of the models that the run began with and wrote.
type heldOutSummary struct {
	Base   []json.RawMessage
	Last   []json.RawMessage // of adapters, where Merged says something
	Merged *struct {
		Type       string // of the matrices: f32
		Last, Best []json.RawMessage
	}
	BestStep int    `json:"best_step"` // 0: none was kept
	Stopped  string // why the training ended early
}

// heldOutAtEnd is what the held-out sets say of every model that a training began with
// and wrote, by set, and why it ended early. lines are those of eval.jsonl, which has
// the best model's.
func heldOutAtEnd(summary json.RawMessage, lines []json.RawMessage) (t evalTable, stopped string) {
	var sum struct {
		HeldOut heldOutSummary `json:"held_out"`
	}
	if json.Unmarshal(summary, &sum) != nil {
		return t, ""
	}
	h := sum.HeldOut
	type model struct {
		name  string
		lines []json.RawMessage
	}
	models := []model{{"base", h.Base}, {"last", h.Last}}
	var best []json.RawMessage
	for _, l := range lines {
		if step, ok := numbers(l)["step"]; ok && h.BestStep > 0 && step == float64(h.BestStep) {
			best = append(best, l)
		}
	}
	if m := h.Merged; m == nil {
		models = append(models, model{"best", best})
	} else {
		models = []model{{"base", h.Base}, {"last adapter", h.Last}, {"last merged " + m.Type, m.Last}, {"best adapter", best}, {"best merged " + m.Type, m.Best}}
	}
	name := func(l json.RawMessage) string {
		var set struct{ Name string }
		json.Unmarshal(l, &set) // what has no name is a set of none
		return set.Name
	}
	t.Columns = slices.Concat([]string{"step", "targets"}, heldOutMeasures)
	for _, base := range h.Base {
		for _, m := range models {
			i := slices.IndexFunc(m.lines, func(l json.RawMessage) bool { return name(l) == name(base) })
			if i < 0 {
				continue
			}
			row, have := evalRow{Name: name(base) + " " + m.name}, numbers(m.lines[i])
			for _, c := range t.Columns {
				text := ""
				if x, ok := have[c]; ok {
					text = fmt.Sprintf("%.6g", x)
				}
				row.Values = append(row.Values, text)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t, h.Stopped
}
