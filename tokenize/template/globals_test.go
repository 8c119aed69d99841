package template

import (
	"testing"
	"time"
)

// TestStrftime: expectations are what Python's strftime gives.
func TestStrftime(t *testing.T) {
	r := &run{}
	at := time.Date(2026, 1, 4, 5, 6, 7, 89_000, time.UTC)
	for format, want := range map[string]string{
		"%d %b %Y": "04 Jan 2026", "%-d/%-m/%y": "4/1/26", "%B %e, %Y": "January  4, 2026", "%A %a %p %I:%M": "Sunday Sun AM 05:06", "%H:%M:%S.%f": "05:06:07.000089",
		"%F %T %R %D": "2026-01-04 05:06:07 05:06 01/04/26", "%j %-j": "004 4", "100%% %Z%z|": "100% |", "%w%u": "07", "%c": "Sun Jan  4 05:06:07 2026", "%": "%", "x": "x",
	} {
		if got := r.strftime(format, at).S; got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}
