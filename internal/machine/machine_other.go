//go:build !linux && !darwin

package machine

func cpuName() string { return "" }
func memory() int64   { return 0 }
func cache() int      { return 0 }
