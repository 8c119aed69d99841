package train

import (
	"sync"
	"sync/atomic"

	"eaft/compute"
)

// parallel calls f for each of n on as many goroutines as the device has threads.
func parallel(dev compute.Device, n int, f func(i int)) {
	threads := 1
	if l, ok := dev.(compute.Limits); ok {
		threads = l.Threads()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(threads, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}
