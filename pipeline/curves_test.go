package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func messages(lines ...string) (out []json.RawMessage) {
	for _, l := range lines {
		out = append(out, json.RawMessage(l))
	}
	return out
}

// Held-out rows are drawn over the steps of the training: the base at step 0, and
// where the training ends both curves do.
func TestHeldOutCurves(t *testing.T) {
	training := messages(`{"step":1,"loss":3,"lr":1}`, `{"step":2,"loss":2,"lr":1}`, `{"step":3,"loss":2.5,"lr":1}`, `{"step":4,"loss":1,"lr":1}`)
	heldOut := messages(`{"step":0,"name":"a","rows":9,"loss":4,"accuracy":0.25,"base_agreement":1,"base_kl":0}`, `{"step":0,"name":"b","loss":7}`,
		`{"step":2,"name":"a","rows":9,"loss":2,"accuracy":0.5,"base_agreement":0.5,"base_kl":0.1}`,
		`{"step":4,"name":"a","rows":9,"loss":3,"accuracy":0.5,"base_agreement":0.5,"base_kl":0.2}`, `{"step":4,"name":"b","loss":8}`)
	train, held := curves(training, heldOut)
	var got []string
	for _, c := range append(train, held...) {
		got = append(got, fmt.Sprintf("%s: %s, %d %s, %d dots", c.Name, c.Points, c.Values, c.Of, len(c.Dots)))
	}
	want := []string{
		"loss: 80.0,0.0 160.0,55.0 240.0,27.5 320.0,110.0, 4 steps, 0 dots", "lr: 80.0,110.0 160.0,110.0 240.0,110.0 320.0,110.0, 4 steps, 0 dots",
		"a loss: 0.0,0.0 160.0,110.0 320.0,55.0, 3 evaluations, 3 dots", "a accuracy: 0.0,110.0 160.0,0.0 320.0,0.0, 3 evaluations, 3 dots",
		"a base_agreement: 0.0,0.0 160.0,110.0 320.0,110.0, 3 evaluations, 3 dots", "a base_kl: 0.0,110.0 160.0,55.0 320.0,0.0, 3 evaluations, 3 dots",
		"b loss: 0.0,110.0 320.0,0.0, 2 evaluations, 2 dots",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := heldOutWords(heldOut); got != "a loss 4 to 3 (least 2 at step 2), b loss 7 to 8" {
		t.Error(got)
	}
	var page bytes.Buffer
	err := (&RunReport{Status: &Status{}, Training: training, HeldOut: heldOut}).HTML(&page)
	for _, s := range []string{"<h2>Training</h2>", "<figcaption>loss: 3 to 1 in 4 steps; from 1 to 3<", "Held-out rows, over the same steps", "<figcaption>a loss: 4 to 3 in 3 evaluations; from 2 to 4<", `<circle cx="160.0" cy="110.0" r="3"/>`} {
		if err != nil || !strings.Contains(page.String(), s) {
			t.Errorf("no %s on the page (%v)", s, err)
		}
	}
	page.Reset()
	if err := (&RunReport{Status: &Status{}, Training: training}).HTML(&page); err != nil || strings.Contains(page.String(), "Held-out") {
		t.Errorf("held-out rows of a run without (%v)", err)
	}
}

// What the held-out sets say of every model of a training stands in one table: with
// --merge of the adapter and of what was written in another type, and of the best ones.
func TestHeldOutAtEnd(t *testing.T) {
	line := func(step int, name string, loss float64) string {
		return fmt.Sprintf(`{"step":%d,"name":%q,"rows":9,"targets":70,"loss":%v,"accuracy":0.5,"base_agreement":1}`, step, name, loss)
	}
	lines := messages(line(0, "a", 4), line(0, "b", 5), line(2, "a", 2), line(2, "b", 6), line(4, "a", 3), line(4, "b", 7))
	list := func(l []json.RawMessage) string {
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	row := func(name, step, loss string) evalRow {
		return evalRow{name, []string{step, "70", loss, "0.5", "1", ""}}
	}
	for _, c := range []struct {
		more string
		want []evalRow
	}{
		{``, []evalRow{row("a base", "0", "4"), row("a last", "4", "3"), row("b base", "0", "5"), row("b last", "4", "7")}},
		{`,"best":"a","best_step":2,"best_value":2`, []evalRow{row("a base", "0", "4"), row("a last", "4", "3"), row("a best", "2", "2"), row("b base", "0", "5"), row("b last", "4", "7"), row("b best", "2", "6")}},
		{`,"best":"a","best_step":2,"merged":{"type":"bf16","last":[` + line(4, "b", 7.5) + `,` + line(4, "a", 3.5) + `],"best":[` + line(2, "a", 2.5) + `]}`,
			[]evalRow{row("a base", "0", "4"), row("a last adapter", "4", "3"), row("a last merged bf16", "4", "3.5"), row("a best adapter", "2", "2"), row("a best merged bf16", "2", "2.5"),
				row("b base", "0", "5"), row("b last adapter", "4", "7"), row("b last merged bf16", "4", "7.5"), row("b best adapter", "2", "6")}},
	} {
		summary := json.RawMessage(`{"steps":4,"held_out":{"base":` + list(lines[:2]) + `,"last":` + list(lines[4:]) + c.more + `,"stopped":"because"}}`)
		got, stopped := heldOutAtEnd(summary, lines)
		if !reflect.DeepEqual(got.Rows, c.want) || stopped != "because" {
			t.Errorf("%s: %v, %q, want %v", c.more, got.Rows, stopped, c.want)
		}
		var page bytes.Buffer
		if err := (&RunReport{Status: &Status{}, Summary: summary, HeldOut: lines}).HTML(&page); err != nil {
			t.Fatal(err)
		}
		last := c.want[len(c.want)-1]
		for _, s := range []string{"<th>set, model<th>step<th>targets<th>loss<th>accuracy", "<tr><td>" + last.Name + "<td>" + strings.Join(last.Values, "<td>"), "The training ended early: because."} {
			if !strings.Contains(page.String(), s) {
				t.Errorf("%s: no %s on the page", c.more, s)
			}
		}
	}
	for _, summary := range []string{``, `{}`, `{"held_out":null}`, `{"held_out":{"base":[1],"last":["x"],"best_step":1e9}}`, `[]`} {
		if got, _ := heldOutAtEnd(json.RawMessage(summary), nil); len(got.Rows) > 1 {
			t.Errorf("%s: %v", summary, got)
		}
	}
}
