package main

import "eaft/internal/cli"

// maxThreads bounds --threads; no machine has as many cores.
const maxThreads = 4096

// checkThreads refuses what --threads cannot be.
func checkThreads(n int) error {
	if n < 0 || n > maxThreads {
		return cli.Usagef("--threads %d: use 1 to %d, or 0 for all cores", n, maxThreads)
	}
	return nil
}
