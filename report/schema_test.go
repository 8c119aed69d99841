package report

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// valid compares a report's JSON with the schema in docs.
func valid(t *testing.T, r *Report) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../docs/report.schema.json")
	must(t, err)
	var b bytes.Buffer
	must(t, JSON(&b, r))
	v, err := jsonschema.UnmarshalJSON(&b)
	must(t, err)
	if err := schema.Validate(v); err != nil {
		t.Errorf("the JSON is not what docs/report.schema.json says: %v", err)
	}
}

func TestSchema(t *testing.T) {
	for name, rows := range map[string][]testRow{"small": small, "random": random(50), "nothing trained": small[3:]} {
		t.Run(name, func(t *testing.T) {
			scores, _ := write(t, rows, "all")
			o := options(t, scores, "")
			o.Calibration = scores
			c, err := ParseWhatIf("p=0.3,h=0.4")
			must(t, err)
			o.WhatIf = append(o.WhatIf, c)
			valid(t, build(t, o))
		})
	}
	// A schema that says nothing would pass too.
	schema, err := jsonschema.NewCompiler().Compile("../docs/report.schema.json")
	must(t, err)
	if schema.Validate(map[string]any{"rows": 1}) == nil {
		t.Error("the schema takes anything")
	}
}
