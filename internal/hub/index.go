package hub

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Names of a folder's weights: in one file, or in those that an index names.
const (
	WeightsFile = "model.safetensors"
	IndexFile   = "model.safetensors.index.json"
)

// ReadIndex reads an index file, which errors call where: the files in order, and which
// tensor is in which. A name that leads out of the folder is an error.
func ReadIndex(where string, data []byte) (shards []string, weightMap map[string]string, err error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", where, err)
	}
	for _, tensor := range slices.Sorted(maps.Keys(index.WeightMap)) {
		shard := index.WeightMap[tensor]
		if shard == "" || shard != path.Base(shard) || strings.Contains(shard, `\`) || shard == "." || shard == ".." {
			return nil, nil, fmt.Errorf("%s: weight_map of %q names %q, which is no file of this folder", where, tensor, shard)
		}
		if !slices.Contains(shards, shard) {
			shards = append(shards, shard)
		}
	}
	if len(shards) == 0 {
		return nil, nil, fmt.Errorf("%s: weight_map is empty", where)
	}
	slices.Sort(shards)
	return shards, index.WeightMap, nil
}
