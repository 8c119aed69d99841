package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"eaft/model/weights"
)

// LoadAdapter gives a model that was loaded for scoring the adapter of a PEFT
// folder. It refuses what an adapter of LoRA cannot say, weights that are missing or
// have another shape, weights that it has no place for, and an adapter that was merged
// into the model.
func (m *Model) LoadAdapter(c *weights.Checkpoint) error {
	l, err := readAdapter(c, &m.spec)
	if err != nil {
		return err
	}
	if _, err := withAdapter(m.ref, m.merged, c); err != nil {
		return err
	}
	return m.addAdapters(l, false, func(t tensorSpec, row int, dst []float32) error {
		return c.ReadRows(t.name, row, row+1, dst)
	})
}

// readAdapter is the LoRA of a PEFT folder whose weights are those that a model of
// spec s asks for.
func readAdapter(c *weights.Checkpoint, s *Spec) (LoRA, error) {
	l, err := readAdapterConfig(c.Config())
	if err != nil {
		return l, fmt.Errorf("%s: %s: %w", c.Ref(), weights.AdapterConfig, err)
	}
	known := map[string]bool{}
	for _, w := range s.tensors() {
		if !l.targets(w) {
			continue
		}
		a, b := l.tensors(w.name, w.rows, w.cols)
		for _, t := range []tensorSpec{a, b} {
			info, ok := c.Info(t.name)
			if !ok {
				return l, fmt.Errorf("%s: the weight %s is missing; is the adapter of this model?", c.Ref(), t.name)
			}
			if !slices.Equal(info.Shape, t.shape()) {
				return l, fmt.Errorf("%s: the weight %s has shape %v; this model and the config ask for %v; is the adapter of this model?", c.Ref(), t.name, info.Shape, t.shape())
			}
			known[t.name] = true
		}
	}
	for _, name := range c.Names() {
		if !known[name] {
			return l, fmt.Errorf("%s: the weight %s has no place in this model", c.Ref(), name)
		}
	}
	return l, nil
}

// readAdapterConfig is the LoRA of an adapter_config.json. Every field by which the
// adapter would compute something else must be off.
func readAdapterConfig(data []byte) (LoRA, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return LoRA{}, err
	}
	for _, f := range []struct {
		name string
		off  []string
	}{
		{"peft_type", []string{`"LORA"`}},
		{"bias", []string{`"none"`, ""}},
		{"use_rslora", []string{"false", ""}},
		{"use_dora", []string{"false", ""}},
		{"fan_in_fan_out", []string{"false", ""}},
		{"lora_bias", []string{"false", ""}},
		{"modules_to_save", []string{"null", "[]", ""}},
		{"layers_to_transform", []string{"null", ""}},
		{"exclude_modules", []string{"null", "[]", ""}},
		{"target_parameters", []string{"null", "[]", ""}},
		{"trainable_token_indices", []string{"null", ""}},
		{"layer_replication", []string{"null", ""}},
		{"alora_invocation_tokens", []string{"null", ""}},
		{"use_qalora", []string{"false", ""}},
		{"use_bdlora", []string{"null", ""}},
		{"arrow_config", []string{"null", ""}},
		{"kasa_config", []string{"null", ""}},
		{"monteclora_config", []string{"null", ""}},
		// What A and B begin as. Others (pissa, olora, corda, loftq, lora_ga) begin with a
		// part of the base model, which PEFT takes out of it when it loads the adapter.
		{"init_lora_weights", []string{"true", "false", `"gaussian"`, `"eva"`, `"orthogonal"`, `"mica"`, "null", ""}},
		{"rank_pattern", []string{"{}", "null", ""}},
		{"alpha_pattern", []string{"{}", "null", ""}},
	} {
		if v := fields[f.name]; !slices.Contains(f.off, strings.TrimSpace(string(v))) {
			return LoRA{}, fmt.Errorf("%s is %s, which is not supported", f.name, onLine(v))
		}
	}
	var c struct {
		Rank    int             `json:"r"`
		Alpha   float64         `json:"lora_alpha"`
		Dropout float64         `json:"lora_dropout"`
		Targets json.RawMessage `json:"target_modules"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return LoRA{}, err
	}
	l := LoRA{Rank: c.Rank, Alpha: c.Alpha, Dropout: c.Dropout}
	if string(c.Targets) == `"all-linear"` {
		l.Targets = AllLinear
	} else if err := json.Unmarshal(c.Targets, &l.Targets); err != nil {
		return LoRA{}, fmt.Errorf("target_modules is %s; a list of names, or all-linear, is supported", onLine(c.Targets))
	}
	return l, l.Check()
}
