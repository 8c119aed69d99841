package hub

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A full disk ends fetching at once, and with room it goes on.
func TestFullDisk(t *testing.T) {
	s := newServer(t)
	files := tiny()
	s.Commit("main", files)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200k"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, 0) })
	t.Setenv("HF_HUB_CACHE", disk)
	id, _ := Parse("Org/Tiny")
	err := Fetch(context.Background(), id, true, t.Output())
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "model-00001-of-00002.safetensors: write "+disk) {
		t.Fatal(err)
	}
	n := 0
	for _, a := range s.Asked {
		if strings.HasPrefix(a, "GET cdn") {
			n++
		}
	}
	left, _ := filepath.Glob(filepath.Join(disk, "*", "blobs", "*.incomplete"))
	if n != 2 || len(left) > 0 {
		t.Errorf("%d large files were asked for, left %q", n, left)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	dir, _ := fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)
}
