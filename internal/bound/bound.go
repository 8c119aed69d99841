// Package bound keeps fuzz tests from taking a greedy input for a good one. Slow
// ones Go's fuzzing stops by itself, after ten seconds.
package bound

import (
	"runtime/metrics"
	"testing"
)

// An input of n bytes may make its reader allocate fixed + n perByte bytes in all.
const (
	fixed   = 512 << 20
	perByte = 1 << 16
)

// Memory fails the test, which reads n bytes, if it allocates too much from here
// to its end.
func Memory(t testing.TB, n int) {
	before := allocated()
	t.Cleanup(func() {
		if got, most := allocated()-before, fixed+uint64(n)*perByte; got > most {
			t.Errorf("%d bytes allocated %d MiB, more than %d", n, got>>20, most>>20)
		}
	})
}

// allocated is the bytes that were allocated on the heap since the start.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
