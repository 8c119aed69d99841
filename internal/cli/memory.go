package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
)

// PeakMemory is the largest resident size of this process so far, in bytes.
func PeakMemory() int64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return ru.Maxrss * maxrssUnit
}

// PeakMemoryOf is the largest resident size of a child that ended, in bytes. At
// least it is what this process held when it started the child (getrusage(2)).
func PeakMemoryOf(child *os.ProcessState) int64 {
	if ru, ok := child.SysUsage().(*syscall.Rusage); ok {
		return ru.Maxrss * maxrssUnit
	}
	return 0
}

// SteadyHeap is called once a model is in memory. The collector's default, to
// wait until the heap has doubled, would let garbage grow to a model's size;
// with the weights, which hold no pointers, collecting more often costs little.
func SteadyHeap() {
	runtime.GC()
	live := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(live)
	const garbage = 64 << 20 // before a collection
	debug.SetGCPercent(int(min(100, max(1, 100*garbage/max(1, live[0].Value.Uint64())))))
}
