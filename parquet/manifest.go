package parquet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"eaft/internal/store"
)

// ManifestName is the file that completes a dataset folder, written last.
const ManifestName = "_manifest.json"

// PartialName is the folder, beside the shards of scores, of what is scored of those
// that are not finished.
const PartialName = "_partial"

// TokenizerName is the file beside it with the tokenizer that made the ids.
const TokenizerName = "_tokenizer.json"

// Reasons for which a row of tokens is neither trained on nor measured.
const (
	NoTarget = "no trained target"
	TooLong  = "longer than the model's positions"
)

// Ledger accounts for every row of a stage: in + split = out + dropped.
type Ledger struct {
	RowsIn    int64            `json:"rows_in"`
	RowsOut   int64            `json:"rows_out"`
	Split     int64            `json:"split,omitempty"`   // rows more by cutting long ones into several
	Dropped   map[string]int64 `json:"dropped,omitempty"` // rows by reason
	Tokens    int64            `json:"tokens"`
	Targets   int64            `json:"targets"`   // trained targets
	Truncated int64            `json:"truncated"` // rows cut to the length limit
}

// Add sums o into l.
func (l *Ledger) Add(o Ledger) {
	l.RowsIn += o.RowsIn
	l.RowsOut += o.RowsOut
	l.Split += o.Split
	l.Tokens += o.Tokens
	l.Targets += o.Targets
	l.Truncated += o.Truncated
	for reason, n := range o.Dropped {
		if l.Dropped == nil {
			l.Dropped = map[string]int64{}
		}
		l.Dropped[reason] += n
	}
}

// maxCount is more than any dataset has of anything, and leaves room for sums.
const maxCount = 1 << 50

// Check reports a ledger whose rows do not add up, or that counts what cannot be.
func (l Ledger) Check() error {
	for name, n := range map[string]int64{"rows_in": l.RowsIn, "rows_out": l.RowsOut, "split": l.Split, "tokens": l.Tokens, "targets": l.Targets, "truncated": l.Truncated} {
		if n < 0 || n > maxCount {
			return fmt.Errorf("ledger: %s is %d", name, n)
		}
	}
	dropped := int64(0)
	for reason, n := range l.Dropped {
		if n < 0 || n > maxCount {
			return fmt.Errorf("ledger: dropped[%q] is %d", reason, n)
		}
		dropped += n
	}
	if l.RowsIn+l.Split != l.RowsOut+dropped {
		return fmt.Errorf("ledger: %d rows in and %d by cutting, but %d out and %d dropped", l.RowsIn, l.Split, l.RowsOut, dropped)
	}
	return nil
}

// ShardInfo identifies one committed shard.
type ShardInfo struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // "sha256:" and hex
}

// Manifest describes a finished dataset.
type Manifest struct {
	Schema    string            `json:"schema"`
	Version   string            `json:"version"`
	Shards    []ShardInfo       `json:"shards"`
	Hashes    map[string]string `json:"hashes,omitempty"` // model, tokenizer, model_tokenizer, template, source, options, tokens
	Ledger    Ledger            `json:"ledger"`
	Tokens    string            `json:"tokens,omitempty"` // scores: relative path of the tokens dataset
	Scores    string            `json:"scores,omitempty"` // audit: relative path of the base annotation
	K         int               `json:"k,omitempty"`
	StoreTopK int               `json:"store_topk,omitempty"` // scores: likeliest tokens of each target; 0: none
	ISA       string            `json:"isa,omitempty"`
	DType     string            `json:"dtype,omitempty"`
	Numerics  int               `json:"numerics,omitempty"` // scores: scorer.Numerics; 0: not said
	Model     string            `json:"model,omitempty"`    // scores: name of the model's file or folder, and of the adapter's; Hashes identify them
	Targets   string            `json:"targets,omitempty"`
	Limit     int64             `json:"limit,omitempty"` // 0: all rows
	Summary   json.RawMessage   `json:"summary,omitempty"`
}

// ContentHash identifies the rows: a hash over the shards' hashes in order.
func (m *Manifest) ContentHash() string {
	h := sha256.New()
	for _, s := range m.Shards {
		io.WriteString(h, s.SHA256+"\n")
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// AdaptedHash is what Hashes["model"] says of a model with an adapter: the hashes
// of both, so that what compares two models compares their adapters too.
func AdaptedHash(model, adapter string) string { return model + "+" + adapter }

// ShardName is "part-00000-of-00016.parquet" for shard 0 of 16.
func ShardName(i, n int) string { return fmt.Sprintf("part-%05d-of-%05d.parquet", i, n) }

// WriteManifest completes the dataset in dir. It refuses a ledger that does not
// add up and shard names that are not plain file names.
func WriteManifest(dir string, m *Manifest) error {
	path := store.Join(dir, ManifestName)
	if err := m.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return store.WriteFile(path, append(data, '\n'))
}

// ReadManifest reads the manifest of dir; the error is fs.ErrNotExist when the
// dataset has none.
func ReadManifest(dir string) (*Manifest, error) {
	path := store.Join(dir, ManifestName)
	data, err := store.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w; run the stage again", path, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &m, nil
}

func (m *Manifest) check() error {
	seen := map[string]bool{}
	for i, s := range m.Shards {
		if !plainName(s.Name) {
			return fmt.Errorf("shards[%d].name %q is not the plain name of a .parquet file", i, s.Name)
		}
		if seen[s.Name] {
			return fmt.Errorf("shards[%d].name %q stands twice", i, s.Name)
		}
		seen[s.Name] = true
		if s.Rows < 0 || s.Bytes < 0 {
			return fmt.Errorf("shards[%d] (%s) has %d rows and %d bytes", i, s.Name, s.Rows, s.Bytes)
		}
	}
	return m.Ledger.Check()
}

// plainName keeps a manifest from naming files outside its folder.
func plainName(name string) bool {
	return strings.HasSuffix(name, ".parquet") && !strings.HasPrefix(name, ".") &&
		!strings.ContainsAny(name, "/\\:\x00") && filepath.IsLocal(name)
}
