package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes such as 4GiB, 512MiB or 1.5GB; without a
// unit it counts bytes.
func ParseSize(s string) (int64, error) {
	units := []struct {
		name  string
		bytes float64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(strings.TrimSpace(s), u.name)
		if !ok {
			continue
		}
		if x, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil && x > 0 && x*u.bytes < 1<<62 {
			return int64(x * u.bytes), nil
		}
		break
	}
	return 0, fmt.Errorf("%q is not a size: write a number and KiB, MiB, GiB, KB, MB or GB, such as 4GiB", s)
}
