package lock

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Owner is a process somewhere.
type Owner struct {
	Host  string `json:"host"`
	Boot  string `json:"boot"`  // of the machine and the namespace of its processes
	PID   int    `json:"pid"`   // there
	Start string `json:"start"` // when that process began, in the system's own measure
}

func (o Owner) String() string { return fmt.Sprintf("%s %s %d %s", o.Host, o.Boot, o.PID, o.Start) }

// Name is for people; "" of an owner that did not say who it is.
func (o Owner) Name() string {
	if o.PID == 0 {
		return ""
	}
	return fmt.Sprintf("process %d on %s", o.PID, o.Host)
}

func parseOwner(s string) (o Owner) {
	fmt.Sscanf(s, "%s %s %d %s", &o.Host, &o.Boot, &o.PID, &o.Start)
	return o
}

func self() Owner {
	host, err := os.Hostname()
	if err != nil || strings.ContainsAny(host, " \n") || host == "" {
		host = "unknown"
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	id := strings.TrimSpace(string(boot)) + "/" + space
	return Owner{host, strings.ReplaceAll(id, " ", ""), os.Getpid(), started(os.Getpid())}
}

// started is field 22 of /proc/PID/stat, "-" where there is none.
func started(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "-"
	}
	// The name before it, in parentheses, may hold anything.
	s := string(data)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 {
		return "-"
	}
	return fields[19]
}

// Dead reports that the process is of this machine and has ended. Of another
// machine's process nothing is known.
func (o Owner) Dead() bool {
	me := self()
	if o.PID == 0 || o.Host != me.Host || o.Boot != me.Boot {
		return false
	}
	if errors.Is(syscall.Kill(o.PID, 0), syscall.ESRCH) {
		return true
	}
	now := started(o.PID)
	return o.Start != "-" && now != "-" && now != o.Start
}
