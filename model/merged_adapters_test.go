package model_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/model"
	"eaft/model/weights"
)

// An adapter is added to a model once: what it was merged into, a folder, a GGUF or
// what was made of them, refuses it, however its configuration was edited since, and
// takes another one.
func TestAdapterIsAddedOnce(t *testing.T) {
	dev := newDevice(t, 1)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := smallAdapter(t, "testdata/llama", at("adapter"))
	m := withAdapters(t, dev, "llama", someLoRA, compute.F32)
	must(t, m.SaveAdapter(at("other"), "llama"))
	other, err := weights.OpenAdapter(at("other"))
	must(t, err)
	defer other.Close()

	_, err = model.ExportFolder(t.Context(), at("folder"), open(t, "testdata/llama"), a, "F32")
	must(t, err)
	_, err = model.ExportGGUF(t.Context(), at("model.gguf"), open(t, "testdata/llama"), a, "F32")
	must(t, err)
	_, err = model.ExportFolder(t.Context(), at("of-gguf"), open(t, at("model.gguf")), nil, "BF16")
	must(t, err)
	_, err = model.ExportGGUF(t.Context(), at("of-folder.gguf"), open(t, at("folder")), nil, "F32")
	must(t, err)
	must(t, load(t, dev, at("model.gguf"), model.Options{Train: true}).Save(at("trained"), open(t, at("model.gguf"))))
	_, err = model.ExportFolder(t.Context(), at("both"), open(t, at("folder")), other, "F32")
	must(t, err)

	edited := strings.Replace(string(a.Config()), `"base_model_name_or_path": "`, `"base_model_name_or_path": "elsewhere/`, 1)
	if edited == string(a.Config()) {
		t.Fatal("the configuration names no base")
	}
	must(t, os.WriteFile(at("adapter/"+weights.AdapterConfig), []byte(edited), 0o666))
	if a, err = weights.OpenAdapter(at("adapter")); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, name := range []string{"folder", "model.gguf", "of-gguf", "of-folder.gguf", "trained", "both"} {
		_, folder := model.ExportFolder(t.Context(), at("no"), open(t, at(name)), a, "F32")
		_, gguf := model.ExportGGUF(t.Context(), at("no.gguf"), open(t, at(name)), a, "F32")
		for _, err := range []error{load(t, dev, at(name), model.Options{}).LoadAdapter(a), folder, gguf} {
			if err == nil || !strings.Contains(err.Error(), at("adapter")+" is merged into "+at(name)+" already") {
				t.Errorf("%s: %v", name, err)
			}
		}
		err := load(t, dev, at(name), model.Options{}).LoadAdapter(other)
		if name == "both" && (err == nil || !strings.Contains(err.Error(), "is merged into")) || name != "both" && err != nil {
			t.Errorf("%s, another adapter: %v", name, err)
		}
	}
	must(t, load(t, dev, "testdata/llama", model.Options{}).LoadAdapter(a))
	for _, name := range []string{"no", "no.gguf"} {
		if _, err := os.Stat(at(name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}
