package cpu

import (
	"runtime"
	"testing"
)

func TestNewThreads(t *testing.T) {
	for ask, want := range map[int]int{0: runtime.GOMAXPROCS(0), 1: 1, 3: 3} {
		d, err := New(ask)
		if err != nil {
			t.Fatal(err)
		}
		if d.Threads() != want {
			t.Errorf("New(%d) has %d threads, want %d", ask, d.Threads(), want)
		}
	}
	if _, err := New(-1); err == nil {
		t.Error("New(-1) is accepted")
	}
}
