// Package bound keeps fuzz tests from taking a slow or greedy input for a good
// one: Go's fuzzing has no limit of its own on either.
package bound

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

const (
	// seconds is how long an input may take. They are counted in ticks of a
	// second, so that a process that was stopped meanwhile has lost nothing.
	seconds = 10
	// fixed and perByte bound what an input of n bytes may allocate in all:
	// fixed + n perByte bytes. Live memory is the process's limit's matter.
	fixed   = 512 << 20
	perByte = 1 << 16
)

// Input is Time, and fails the test if it allocates too much.
func Input(t testing.TB, n int) {
	Time(t, n)
	before := allocated()
	t.Cleanup(func() {
		if got, most := allocated()-before, fixed+uint64(n)*perByte; got > most {
			t.Errorf("%d bytes allocated %d MiB, more than %d", n, got>>20, most>>20)
		}
	})
}

// Time ends the process with every goroutine's stack if the test, which reads n
// bytes, takes too long.
func Time(t testing.TB, n int) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := 0; i < seconds; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("%d bytes took over %d s\n%s", n, seconds, stacks[:runtime.Stack(stacks, true)]))
	}()
}

// allocated is the bytes that were allocated on the heap since the start.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
