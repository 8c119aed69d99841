package eval_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/compute/cpu"
	"eaft/eval"
	"eaft/model"
	"eaft/model/weights"
	"eaft/parquet"
)

// A model with a NaN among its weights is not measured.
func TestDamagedWeights(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "tokenizer.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join("../model/testdata/llama", name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "model.safetensors" { // the last value of the file
			binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(math.NaN())))
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	dev, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := model.Load(dev, c, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tokens := t.TempDir()
	w, err := parquet.CreateTokens(filepath.Join(tokens, parquet.ShardName(0, 1)))
	if err == nil {
		err = w.Write(&parquet.TokensRow{ID: "a", InputIDs: []int32{1, 2, 3}, Labels: []int32{-100, 2, 3}})
	}
	if err != nil {
		t.Fatal(err)
	}
	l := parquet.Ledger{RowsIn: 1, RowsOut: 1}
	info, err := w.Commit(parquet.Meta{Schema: parquet.SchemaTokens, Ledger: l})
	if err == nil {
		err = parquet.WriteManifest(tokens, &parquet.Manifest{Schema: parquet.SchemaTokens, Shards: []parquet.ShardInfo{info}, Ledger: l})
	}
	if err != nil {
		t.Fatal(err)
	}
	ds, err := parquet.OpenDataset(tokens, parquet.SchemaTokens)
	if err != nil {
		t.Fatal(err)
	}
	_, err = eval.HeldOut(t.Context(), m, ds)
	if err == nil || !strings.Contains(err.Error(), "NaN: its weights are damaged") {
		t.Errorf("the error is %v", err)
	}
}
