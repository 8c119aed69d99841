package cli

import "syscall"

// PeakMemory is the largest resident size of this process so far, in bytes.
func PeakMemory() int64 {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return ru.Maxrss * maxrssUnit
}
