package machine

import (
	"runtime"
	"strings"
	"testing"
)

func TestMachine(t *testing.T) {
	if name := CPU(); name == "" || name != strings.TrimSpace(name) {
		t.Errorf("the CPU is %q", name)
	}
	if runtime.GOOS == "linux" && Memory() < 1<<20 {
		t.Errorf("%d bytes of memory", Memory())
	}
}
