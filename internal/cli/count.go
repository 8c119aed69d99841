package cli

import "fmt"

// Count is a number of things: 1 shard, 2 shards.
func Count(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
