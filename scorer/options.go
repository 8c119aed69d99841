// Package scorer turns a tokens dataset and a model into a scores dataset: for
// every target the model's log probability, entropies and rank.
package scorer

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model/weights"
)

// Targets says which tokens of a row are scored. The first token of a row is
// never a target: nothing predicts it.
type Targets string

const (
	Trained Targets = "trained" // tokens with a label
	All     Targets = "all"
)

// DefaultBudget is how many tokens a batch computes beside what all its rows
// begin with, or as many as that has if it is longer; a longer row is a batch of
// its own.
const DefaultBudget = 2048

// MinK and MaxK bound Options.K: the entropy of one token is no entropy.
const (
	MinK = 2
	MaxK = 1024
)

// Options of a run. Only Adapter, K, StoreTopK, DType, Targets and Limit change what is written.
type Options struct {
	Tokens, Out string              // folders of the two datasets
	Adapter     *weights.Checkpoint // of weights.OpenAdapter, added to the model; nil: none
	Targets     Targets
	DType       compute.DType
	K           int   // tokens in the top-K quantities
	StoreTopK   int   // likeliest tokens stored of each target, at most K
	Limit       int64 // only the first rows of the dataset; 0: all
	Budget      int   // tokens of a batch; 0: DefaultBudget
	Log         io.Writer

	// Shards are those to be scored, for workers that share a dataset of ShardsOf;
	// nil: all, and the manifest. A run without closes what they
	// made.
	Shards   []int
	ShardsOf int

	// NoPrefixSharing computes each row by itself, also what several begin with.
	NoPrefixSharing bool
}

func (o *Options) check() error {
	switch {
	case o.Tokens == "":
		return cli.Usagef("--tokens is missing: name the folder of a tokens dataset")
	case o.Out == "":
		return cli.Usagef("--out is missing: name a folder for the scores")
	case o.Targets != Trained && o.Targets != All:
		return cli.Usagef("--targets %q: use trained or all", o.Targets)
	case o.K < MinK || o.K > MaxK:
		return cli.Usagef("--k %d: use %d to %d", o.K, MinK, MaxK)
	case o.StoreTopK < 0 || o.StoreTopK > o.K:
		return cli.Usagef("--store-topk %d: use 1 to %d, which is --k, or 0 to store none", o.StoreTopK, o.K)
	case o.Limit < 0:
		return cli.Usagef("--limit %d: use 1 or more rows, or 0 for all", o.Limit)
	}
	if o.Budget <= 0 {
		o.Budget = DefaultBudget
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return nil
}

// hash is over the options that change what is written and that a shard's
// metadata does not name by itself.
func (o *Options) hash() (string, error) {
	data, err := json.Marshal(struct {
		Limit int64 `json:"limit"`
	}{o.Limit})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data)), nil
}
