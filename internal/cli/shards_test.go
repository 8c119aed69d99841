package cli

import (
	"fmt"
	"testing"
)

func TestParseShards(t *testing.T) {
	for s, want := range map[string]string{"3/16": "[3] 16", "5,3,5/16": "[3 5] 16", "0/1": "[0] 1"} {
		shards, n, err := ParseShards(s)
		if got := fmt.Sprint(shards, n); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "3", "/", "3/", "/3", "3/3", "-1/3", "1,/3", "1/0", "a/3", "1/999999"} {
		if shards, n, err := ParseShards(s); Code(err) != ExitUsage {
			t.Errorf("%q is read as %v of %d (%v)", s, shards, n, err)
		}
	}
}
