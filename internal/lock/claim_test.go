package lock

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, lease time.Duration) *Claims {
	t.Helper()
	c, err := OpenClaims(dir, lease)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func take(t *testing.T, c *Claims, n int, shards ...int) []int {
	t.Helper()
	got, err := c.Take(shards, n)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Of many workers at once exactly one gets each shard, also where the holders
// before are dead and all see it.
func TestOneHolder(t *testing.T) {
	dir := t.TempDir()
	const workers, shards = 8, 40
	var all []int
	for i := range shards {
		all = append(all, i)
	}
	// Claims of a process that has ended.
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	gone := open(t, dir, time.Hour)
	gone.me.PID, gone.me.Start = cmd.Process.Pid, started(cmd.Process.Pid)
	if got := take(t, gone, shards, all...); len(got) != shards {
		t.Fatalf("%d claims of %d", len(got), shards)
	}
	if got := take(t, open(t, dir, time.Hour), 1, all...); len(got) != 0 {
		t.Fatalf("shard %v is claimed, and its holder lives", got)
	}
	cmd.Process.Kill()
	cmd.Wait()
	var mu sync.Mutex
	var wg sync.WaitGroup
	held := map[int]int{}
	for range workers {
		c := open(t, dir, time.Hour)
		wg.Go(func() {
			for {
				got, err := c.Take(all, 3)
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, s := range got {
					held[s]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, s := range all {
		if held[s] != 1 {
			t.Errorf("shard %d is in %d hands", s, held[s])
		}
	}
}

// Of a holder elsewhere only the beat is known: standing still for the lease
// loses the claim, and the holder notices.
func TestLease(t *testing.T) {
	dir := t.TempDir()
	far := open(t, dir, 100*time.Millisecond)
	far.me.Host = "elsewhere"
	take(t, far, 2, 0, 1)
	near := open(t, dir, 100*time.Millisecond)
	for range 6 { // it beats: longer than the lease nothing is free
		if lost, err := far.Beat(); err != nil || len(lost) > 0 {
			t.Fatal(lost, err)
		}
		if got := take(t, near, 2, 0, 1); len(got) > 0 {
			t.Fatalf("took %v from a holder that lives", got)
		}
		time.Sleep(30 * time.Millisecond)
	}
	var got []int
	for deadline := time.Now().Add(10 * time.Second); len(got) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got = take(t, near, 1, 0)
	}
	if !slices.Equal(got, []int{0}) {
		t.Fatalf("took %v, want 0", got)
	}
	lost, err := far.Beat()
	if err != nil || !slices.Equal(lost, []int{0}) {
		t.Errorf("the holder lost %v (%v), want 0", lost, err)
	}
	if err := far.Drop(); err != nil {
		t.Fatal(err)
	}
	if got := take(t, near, 2, 0, 1); !slices.Equal(got, []int{1}) {
		t.Errorf("of what was given up took %v, want 1", got)
	}
}

// What stands in a claim's file is no reason to fall over.
func TestStrangeClaims(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"00000.claim.0": "", "00001.claim.0": "{", "00002.claim.x": "{}", "claim": "x", ".00003.claim.0.eaft-tmp": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, dir, 50*time.Millisecond)
	if got := take(t, c, 9, 0, 1, 2, 3); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("took %v", got)
	}
	time.Sleep(60 * time.Millisecond)
	if got := take(t, c, 9, 0, 1); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("took %v of claims that say nothing, after the lease", got)
	}
}
