package cli

import (
	"slices"
	"strconv"
	"strings"
)

// ParseShards reads what --shard is given: 3/16, or several, 3,5,8/16. The
// numbers begin at 0 and come back in order, each once.
func ParseShards(s string) (shards []int, n int, err error) {
	list, of, ok := strings.Cut(s, "/")
	n, bad := strconv.Atoi(of)
	if !ok || bad != nil || n < 1 || n > 99999 {
		return nil, 0, Usagef("--shard %q: use I/N, or several, I,J/N, such as 3/16", s)
	}
	for _, part := range strings.Split(list, ",") {
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= n {
			return nil, 0, Usagef("--shard %q: %q is not one of the numbers 0 to %d", s, part, n-1)
		}
		shards = append(shards, i)
	}
	slices.Sort(shards)
	return slices.Compact(shards), n, nil
}
