package pipeline

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"eaft/internal/store"
)

// What stands still is read once, what was changed is read again, and what could
// have changed without a trace is read each time.
func TestMemo(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "old"), filepath.Join(dir, "young")
	write := func(path, data string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(old, "one")
	time.Sleep(2500 * time.Millisecond)
	if s, err := store.Stamp(old); err != nil {
		t.Fatal(err)
	} else if s == "" {
		t.Skip("files have no stamps here")
	}
	plan := func() (read []string) {
		m := openMemo(filepath.Join(dir, hashesName))
		for _, path := range []string{old, young} {
			h, err := m.hash(path, []string{path}, func() (string, error) {
				read = append(read, filepath.Base(path))
				return store.Hash(path)
			})
			want, _ := store.Hash(path)
			if err != nil || h != want {
				t.Errorf("%s: %s, %v; want %s", path, h, err, want)
			}
		}
		m.save()
		return read
	}
	write(young, "one")
	for i, want := range [][]string{{"old", "young"}, {"young"}} {
		if got := plan(); len(got) != len(want) || got[0] != want[0] {
			t.Errorf("plan %d read %v, want %v", i, got, want)
		}
	}
	write(old, "two")
	if got := plan(); len(got) != 2 {
		t.Errorf("after a change: read %v", got)
	}
	write(filepath.Join(dir, hashesName), "{")
	if got := plan(); len(got) != 2 {
		t.Errorf("with a damaged memo: read %v", got)
	}
}
