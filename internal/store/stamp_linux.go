package store

import "syscall"

// changed is when anything of a file changed last.
func changed(s *syscall.Stat_t) syscall.Timespec { return s.Ctim }
