package scorer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/lock"
)

// A run is kept out of a folder that another writes; nothing of the lock stays.
func TestTwoAtOnce(t *testing.T) {
	o := options(dataset(t, rows(vocab(t)), 1, ""), t.TempDir())
	unfinished := filepath.Join(o.Out, ".part-00000-of-00001.parquet.0123456789abcdef.eaft-tmp")
	if err := os.WriteFile(unfinished, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := lock.File(filepath.Join(o.Out, lock.FolderName), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run1(t, 1, o); err == nil || !strings.Contains(err.Error(), "another run writes this folder (") {
		t.Errorf("beside another run: %v", err)
	}
	if _, err := os.Stat(unfinished); err != nil {
		t.Errorf("the other's unfinished shard is gone: %v", err)
	}
	f.Close()
	score(t, 1, o)
	for _, path := range []string{unfinished, filepath.Join(o.Out, lock.FolderName)} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}
