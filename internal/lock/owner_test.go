package lock

import (
	"os"
	"os/exec"
	"testing"
)

func TestDead(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	o := parseOwner(self().String())
	if o != self() || o.Dead() {
		t.Errorf("%+v reads back as %+v, dead %v", self(), o, o.Dead())
	}
	o.PID, o.Start = cmd.Process.Pid, started(cmd.Process.Pid)
	if o.Dead() {
		t.Error("a process that lives is dead")
	}
	other := o
	other.Start = "1"
	if _, err := os.Stat("/proc/self/stat"); err == nil && !other.Dead() {
		t.Error("a number that went to another process is taken for the first")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !o.Dead() {
		t.Error("a process that ended lives")
	}
	o.Host = "elsewhere"
	if o.Dead() {
		t.Error("another machine's process cannot be known to be dead")
	}
}
