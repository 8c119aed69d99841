package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpuName is the first "model name" of /proc/cpuinfo, which not every
// architecture has.
func cpuName() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return value
		}
	}
	return ""
}

func memory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

func cache() int {
	files, _ := filepath.Glob("/sys/devices/system/cpu/cpu0/cache/index*/size")
	largest := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		text, unit := strings.TrimSpace(string(data)), 1
		for suffix, u := range map[string]int{"K": 1 << 10, "M": 1 << 20} {
			if s, ok := strings.CutSuffix(text, suffix); ok {
				text, unit = s, u
			}
		}
		if n, err := strconv.Atoi(text); err == nil {
			largest = max(largest, n*unit)
		}
	}
	return largest
}
