// Package machine says what a program runs on, as far as the system tells.
package machine

import "strings"

// CPU is the processor's name; "unknown CPU" where the system does not tell.
func CPU() string {
	if name := strings.Join(strings.Fields(cpuName()), " "); name != "" {
		return name
	}
	return "unknown CPU"
}

// Memory is the machine's memory in bytes; 0: unknown.
func Memory() int64 { return memory() }

// Cache is the size of the last data cache in bytes; 0: unknown.
func Cache() int { return cache() }
