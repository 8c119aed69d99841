package machine

import "golang.org/x/sys/unix"

func cpuName() string {
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return name
}

func memory() int64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(n)
}

func cache() int {
	for _, name := range []string{"hw.l3cachesize", "hw.l2cachesize"} {
		if n, err := unix.SysctlUint64(name); err == nil && n > 0 {
			return int(n)
		}
	}
	return 0
}
