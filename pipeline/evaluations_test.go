package pipeline

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Every number of an evaluation is in the report, shares with their error; those
// of one kind stand in one table, the base beside the trained model.
func TestTables(t *testing.T) {
	held := func(loss string) json.RawMessage {
		return json.RawMessage(`{"rows":12,"loss":` + loss + `,"accuracy":0.5}`)
	}
	r := &RunReport{Status: &Status{Steps: []StepStatus{{Name: "train"}, {Name: "eval held base"}, {Name: "eval held trained"}, {Name: "eval quiz base"}, {Name: "eval other base"}}},
		Evaluations: map[string]json.RawMessage{"eval held base": held("1.4207464"), "eval held trained": held("1.3"), "eval other base": held("2"),
			"eval quiz base": json.RawMessage(`{"questions":40,"acc":{"value":0.21093,"stderr":0.016},"acc_norm":{"value":1,"stderr":null},"fields":{"question":"q"},"prompt":"p","subjects":[{"acc":{"value":1}}]}`)}}
	want := []evalTable{
		{[]string{"rows", "loss", "accuracy"}, []evalRow{{"held base", []string{"12", "1.42075", "0.5"}}, {"held trained", []string{"12", "1.3", "0.5"}}, {"other base", []string{"12", "2", "0.5"}}}},
		{[]string{"questions", "acc", "acc_norm"}, []evalRow{{"quiz base", []string{"40", "0.2109 ± 0.016", "1"}}}},
	}
	if got := tabulate(r); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil || strings.Count(page.String(), "<th>evaluation") != 2 || !strings.Contains(page.String(), "<td>quiz base<td>40<td>0.2109 ± 0.016<td>1") {
		t.Errorf("%v: %s", err, page.String())
	}
}
