package model

import (
	"encoding/json"
	"fmt"
	"slices"

	"eaft/model/weights"
)

// A model that adapters were merged into says which, by weights.WeightsHash, so that
// none is added twice: in config.json, which transformers keeps, or in the metadata of
// a GGUF.
const (
	mergedField = "eaft_merged_adapters"
	mergedKey   = "eaft.merged_adapters"
)

// mergedAdapters are the adapters that a checkpoint says it has in its weights.
func mergedAdapters(c *weights.Checkpoint) (hashes []string, err error) {
	if md := c.GGUF(); md != nil {
		hashes, _ = md.Strings(mergedKey)
		return hashes, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Config(), &fields); err != nil {
		return nil, fmt.Errorf("%s: config.json: %w", c.Ref(), err)
	}
	if raw := fields[mergedField]; raw != nil {
		if err := json.Unmarshal(raw, &hashes); err != nil {
			return nil, fmt.Errorf("%s: config.json: %s: %w", c.Ref(), mergedField, err)
		}
	}
	return hashes, nil
}

// withAdapter are the adapters of base, which has merged ones, and one more. It is an
// error if that is among them.
func withAdapter(base string, merged []string, adapter *weights.Checkpoint) ([]string, error) {
	hash := adapter.WeightsHash()
	if slices.Contains(merged, hash) {
		return nil, fmt.Errorf("%s is merged into %s already and would be added twice: leave the adapter out, or give the model that it was trained beside", adapter.Ref(), base)
	}
	return append(slices.Clip(merged), hash), nil
}
