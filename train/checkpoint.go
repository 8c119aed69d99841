package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"eaft/internal/store"
	"eaft/parquet"
)

// CheckpointsName is the folder of a run's checkpoints.
const CheckpointsName = "checkpoints"

// Files of a checkpoint.
const (
	mastersFile  = "model.safetensors"
	momentsFile  = "optimizer.safetensors"
	visitsFile   = "audit.parquet"
	stateFile    = "state.json"
	manifestFile = "manifest.json"
)

// manifest is manifest.json, written last: every other file of the checkpoint.
type manifest struct {
	Files []stored `json:"files"`
}

// state is state.json: what a run must know beside tensors and audit rows to go
// on. Order, dropout and noise are functions of the seed, the epoch and the step,
// so that no generator's state is among it.
type state struct {
	Record  Record     `json:"record"`
	Asked   bool       `json:"asked"` // for by --save-every
	Step    int        `json:"step"`  // optimizer steps that are done
	Epoch   int        `json:"epoch"`
	Plan    string     `json:"plan"` // hash of which rows each step has
	Metrics position   `json:"metrics"`
	Audit   auditState `json:"audit"`
	Summary *Summary   `json:"summary"`
	Weights float64    `json:"weights"` // sum of the steps' mean weights
	// Conflicts found at each row's last visit: resolved, persisting and new as
	// little-endian int32, rows in the dataset's order.
	Found []byte `json:"found,omitempty"`
	// HeldOut is what is known of the evaluations on held-out rows.
	HeldOut HeldOutState `json:"held_out"`
	Evals   position     `json:"evals"` // of eval.jsonl; none without held-out rows
}

// stepName is the folder of the checkpoint after step n.
func stepName(n int) string { return fmt.Sprintf("step-%06d", n) }

// stepOf is the step of a folder's name.
func stepOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "step-")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && stepName(n) == name
}

// hiddenSuffix ends the names of folders that are being written or removed.
const hiddenSuffix = ".eaft-tmp"

// writeCheckpoint writes a checkpoint into the folder dir of checkpoints: under a
// hidden name, every file and the folder durable, and then renamed.
func writeCheckpoint(dir string, t *trainer, s *state, visits []parquet.AuditRow, meta parquet.Meta) (path string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	path = filepath.Join(dir, stepName(s.Step))
	tmp := filepath.Join(dir, "."+stepName(s.Step)+hiddenSuffix)
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.Mkdir(tmp, 0o777); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	var m manifest
	for _, x := range []struct {
		name    string
		tensors []State
	}{{mastersFile, t.masters()}, {momentsFile, t.opt.state()}} {
		f, err := writeTensors(filepath.Join(tmp, x.name), t.dev, x.tensors)
		if err != nil {
			return "", err
		}
		m.Files = append(m.Files, f)
	}
	info, err := writeAudit(filepath.Join(tmp, visitsFile), visits, meta)
	if err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	data = append(data, '\n')
	if err := store.WriteFile(filepath.Join(tmp, stateFile), data); err != nil {
		return "", err
	}
	m.Files = append(m.Files, stored{info.Name, info.Bytes, info.SHA256}, stored{stateFile, int64(len(data)), hashOf(data)})
	if err := writeJSON(filepath.Join(tmp, manifestFile), m); err != nil {
		return "", err
	}
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	return path, syncDir(dir)
}

// prune removes all but the newest keep checkpoints. A folder loses its name
// first, so that half of one is never taken for a damaged one.
func prune(dir string, keep int) error {
	steps, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, n := range steps[min(keep, len(steps)):] {
		if err := removeCheckpoint(dir, n); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the checkpoints of a finished run that --save-every did not ask for:
// those were to go on from, and whether there are any depends on when it was
// stopped and how long it took.
func tidy(out string) error {
	dir := filepath.Join(out, CheckpointsName)
	steps, err := checkpoints(dir)
	if err != nil || len(steps) == 0 {
		return err
	}
	for _, n := range steps {
		var s struct {
			Asked bool `json:"asked"`
		}
		data, err := os.ReadFile(filepath.Join(dir, stepName(n), stateFile))
		if err != nil || json.Unmarshal(data, &s) != nil || s.Asked {
			continue // damaged ones are left for those who look for them
		}
		if err := removeCheckpoint(dir, n); err != nil {
			return err
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return err
	}
	return os.Remove(dir)
}

func removeCheckpoint(dir string, n int) error {
	tmp := filepath.Join(dir, "."+stepName(n)+hiddenSuffix)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, stepName(n)), tmp); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// planHash identifies which rows each step has.
func planHash(steps []step) string {
	h := sha256.New()
	for _, s := range steps {
		fmt.Fprintf(h, "%d:", s.epoch)
		for _, r := range s.rows {
			fmt.Fprintf(h, " %d", r.order)
		}
		io.WriteString(h, "\n")
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func hashOf(data []byte) string {
	h := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(h[:])
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
