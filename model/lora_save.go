package model

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"eaft/internal/store"
	"eaft/model/weights"
)

// adapterConfig is adapter_config.json: what LoRA says, and the fields of PEFT's
// LoraConfig by which an adapter could be something else.
type adapterConfig struct {
	PEFTType       string   `json:"peft_type"`
	TaskType       string   `json:"task_type"`
	Base           string   `json:"base_model_name_or_path"`
	Rank           int      `json:"r"`
	Alpha          float64  `json:"lora_alpha"`
	Dropout        float64  `json:"lora_dropout"`
	Targets        []string `json:"target_modules"`
	Bias           string   `json:"bias"`
	FanInFanOut    bool     `json:"fan_in_fan_out"`
	InferenceMode  bool     `json:"inference_mode"`
	InitWeights    bool     `json:"init_lora_weights"`
	RSLoRA         bool     `json:"use_rslora"`
	DoRA           bool     `json:"use_dora"`
	ModulesToSave  []string `json:"modules_to_save"`
	RankPattern    struct{} `json:"rank_pattern"`
	AlphaPattern   struct{} `json:"alpha_pattern"`
	LayersToAdapt  []int    `json:"layers_to_transform"`
	LayersPattern  *string  `json:"layers_pattern"`
	ExcludeModules []string `json:"exclude_modules"`
}

// SaveAdapter writes a folder that PEFT loads: adapter_model.safetensors in
// float32, and adapter_config.json, last, which names the base model as base says.
// Every file is written whole or not at all.
func (m *Model) SaveAdapter(dir, base string) error {
	if m.lora == nil {
		return errors.New("the model has no adapter to save")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	config := filepath.Join(dir, weights.AdapterConfig)
	if err := store.RemoveIfThere(config); err != nil {
		return err
	}
	var tensors []weights.Named
	for _, w := range m.adapters {
		tensors = append(tensors, weights.Named{
			Name: w.name, DType: "F32", Shape: w.shape(),
			Read: func(row int, dst []float32) error { m.readRow(dst, w, row); return nil },
		})
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, weights.AdapterWeights), tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	l := m.lora
	data, err := json.MarshalIndent(adapterConfig{PEFTType: "LORA", TaskType: "CAUSAL_LM", Base: base, Rank: l.Rank, Alpha: l.Alpha,
		Dropout: l.Dropout, Targets: slices.Sorted(slices.Values(l.Targets)), Bias: "none", InferenceMode: true, InitWeights: true}, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(dir, weights.AdapterConfig, append(data, '\n'))
}
