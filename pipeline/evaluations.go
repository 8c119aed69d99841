package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// evalTable are the numbers of evaluations of one kind, a row for each step.
type evalTable struct {
	Columns []string
	Rows    []evalRow
}

type evalRow struct {
	Name   string
	Values []string
}

// tabulate makes a table of all evaluations that have the same numbers.
func tabulate(r *RunReport) (tables []evalTable) {
	for _, s := range r.Steps {
		data, ok := r.Evaluations[s.Name]
		if !ok {
			continue
		}
		var columns, values []string
		for _, v := range results(data) {
			columns, values = append(columns, v.name), append(values, v.text)
		}
		row := evalRow{strings.TrimPrefix(s.Name, "eval "), values}
		i := slices.IndexFunc(tables, func(t evalTable) bool { return slices.Equal(t.Columns, columns) })
		if i < 0 {
			tables = append(tables, evalTable{Columns: columns})
			i = len(tables) - 1
		}
		tables[i].Rows = append(tables[i].Rows, row)
	}
	return tables
}

type result struct{ name, text string }

// results are the numbers of an evaluation, in their order: fields that are numbers,
// and shares with their standard error.
func results(data json.RawMessage) (out []result) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	names := order(data)
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue // stands twice
		}
		var x *float64
		if json.Unmarshal(fields[name], &x) == nil && x != nil {
			out = append(out, result{name, fmt.Sprintf("%.6g", *x)})
			continue
		}
		var share struct {
			Value  *float64 `json:"value"`
			StdErr *float64 `json:"stderr"`
		}
		if json.Unmarshal(fields[name], &share) != nil || share.Value == nil {
			continue
		}
		text := fmt.Sprintf("%.4g", *share.Value)
		if share.StdErr != nil {
			text += fmt.Sprintf(" ± %.2g", *share.StdErr)
		}
		out = append(out, result{name, text})
	}
	return out
}

// headlines are the numbers that an evaluation is made for.
var headlines = []string{"loss", "accuracy", "acc", "acc_norm", "strict", "flexible", "token_perplexity", "word_perplexity"}

// headline is what a step came to, in a few words: of evaluations, inspect, and of a
// training with held-out rows.
func (p *Pipeline) headline(s *Step) string {
	var data json.RawMessage
	switch s.kind {
	case "eval":
		if readJSON(p.at(s.Folder, s.Stdout), &data) != nil {
			return ""
		}
		var said []string
		for _, r := range results(data) {
			if slices.Contains(headlines, r.name) {
				said = append(said, strings.ReplaceAll(r.name, "_", " ")+" "+r.text)
			}
		}
		return strings.Join(said, ", ")
	case "train":
		return heldOutWords(records(p.at(s.out(), "eval.jsonl")))
	case "inspect":
		var sum struct {
			Conflicts int64    `json:"conflicts"`
			Rate      *float64 `json:"conflict_rate"`
		}
		if readJSON(p.at(s.Folder, s.Stdout), &sum) != nil || sum.Rate == nil {
			return ""
		}
		return fmt.Sprintf("%d confident conflicts (%.2g%%)", sum.Conflicts, 100**sum.Rate)
	}
	return ""
}
