package lock

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const short = 200 * time.Millisecond

func lease(t *testing.T, dir string, shared bool) *Lease {
	t.Helper()
	l, err := OpenLease(dir, shared, short)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// until calls Take until it succeeds, or says that the holder lives.
func until(t *testing.T, l *Lease) *Busy {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		err := l.Take()
		var busy *Busy
		if err == nil {
			return nil
		}
		if !errors.As(err, &busy) {
			t.Fatal(err)
		}
		if busy.Alive {
			return busy
		}
	}
	t.Fatal("neither taken nor refused")
	return nil
}

func TestLeaseAlone(t *testing.T) {
	dir := t.TempDir()
	a, b, s := lease(t, dir, false), lease(t, dir, false), lease(t, dir, true)
	if err := a.Take(); err != nil {
		t.Fatal(err)
	}
	if who, at, err := LeaseHolder(dir); err != nil || who == nil || who.PID != os.Getpid() || time.Since(at) > time.Minute {
		t.Errorf("the holder is %v at %v (%v)", who, at, err)
	}
	for _, l := range []*Lease{b, s} {
		if busy := until(t, l); busy == nil || busy.Owner.PID != os.Getpid() {
			t.Errorf("beside one that lives: %+v", busy)
		}
	}
	s.Close()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if who, _, _ := LeaseHolder(dir); who != nil {
		t.Errorf("free, and %v has it", who)
	}
	if busy := until(t, b); busy != nil {
		t.Errorf("free, and %v", busy)
	}
}

func TestLeaseShared(t *testing.T) {
	dir := t.TempDir()
	a, b, w := lease(t, dir, true), lease(t, dir, true), lease(t, dir, false)
	for _, l := range []*Lease{a, b} {
		if err := l.Take(); err != nil {
			t.Fatal(err)
		}
	}
	if busy := until(t, w); busy == nil {
		t.Error("alone beside two that share")
	}
	a.Close()
	b.Close()
	if err := w.Take(); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// Who shows no life loses the lock, whether alone or shared, and hears of it.
func TestLeaseLost(t *testing.T) {
	for _, shared := range []bool{false, true} {
		dir := t.TempDir()
		still := lease(t, dir, shared)
		still.claims.me.Host = "elsewhere"
		if err := still.Take(); err != nil {
			t.Fatal(err)
		}
		still.claims.mu.Lock() // it stands still
		began := time.Now()
		next := lease(t, dir, false)
		if busy := until(t, next); busy != nil {
			t.Fatalf("a holder that stands still is alive: %v", busy)
		}
		if d := time.Since(began); d < short {
			t.Errorf("taken over after %v, the lease is %v", d, short)
		}
		still.claims.mu.Unlock()
		select {
		case <-still.Lost():
		case <-time.After(10 * time.Second):
			t.Error("it does not know that it lost the lock")
		}
	}
}

// Of many at once, alone and shared, never one alone beside another.
func TestLeaseRace(t *testing.T) {
	dir := t.TempDir()
	var alone, shared, took atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 6 {
				l, err := OpenLease(dir, i%4 > 0, 5*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				for err = l.Take(); err != nil; err = l.Take() {
					var busy *Busy
					if !errors.As(err, &busy) {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(i) * time.Millisecond)
				}
				n := &shared
				if i%4 == 0 {
					n = &alone
				}
				n.Add(1)
				if a, s := alone.Load(), shared.Load(); a > 1 || a == 1 && s > 0 {
					t.Errorf("%d alone beside %d", a, s)
				}
				time.Sleep(time.Millisecond)
				n.Add(-1)
				took.Add(1)
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if took.Load() != 48 {
		t.Errorf("taken %d times", took.Load())
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) > 10 {
		t.Errorf("%d files are left: %v", len(left), left)
	}
}

// Who stood still while it waited for others, and was passed by, gets the lock when it
// is free, and leaves no file behind.
func TestLeaseOvertakenWhileItWaits(t *testing.T) {
	dir := t.TempDir()
	share, still, next := lease(t, dir, true), lease(t, dir, false), lease(t, dir, false)
	if err := share.Take(); err != nil {
		t.Fatal(err)
	}
	still.claims.me.Host = "elsewhere"
	var busy *Busy
	if err := still.Take(); !errors.As(err, &busy) {
		t.Fatalf("beside one that shares: %v", err)
	}
	still.claims.mu.Lock() // it stands still
	if err := share.Close(); err != nil {
		t.Fatal(err)
	}
	if busy := until(t, next); busy != nil {
		t.Fatalf("one that stands still is alive: %v", busy)
	}
	still.claims.mu.Unlock()
	if busy := until(t, still); busy == nil {
		t.Fatal("two have the lock")
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if busy := until(t, still); busy != nil {
		t.Fatalf("free, and %v", busy)
	}
	if err := still.Check(); err != nil {
		t.Errorf("it has the lock, and %v", err)
	}
	if err := still.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 1 {
		t.Errorf("left: %v", left)
	}
}

// A holder that was passed by hears so when it asks, and writes nothing of its claim
// when it gives it back.
func TestLeaseCheck(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLease(dir, false, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Take(); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(); err != nil {
		t.Errorf("of a lock that is held: %v", err)
	}
	next := lease(t, dir, false)
	if ok, err := next.claims.create(0, 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for range 2 {
		if err := l.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("of a lock that was lost: %v", err)
		}
	}
	if err := os.Remove(l.claims.path(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.claims.path(0, 0)); err == nil {
		t.Error("a claim that was lost is written again")
	}
}
