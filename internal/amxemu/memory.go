//go:build linux && amd64

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// memory is that of a stopped thread, by its id.
type memory int

// fault is what a CPU would answer with SIGSEGV: an address that may not be
// read or written (#PF), or an operand against the rules (#GP).
type fault struct {
	address uint64
	code    int // si_code
}

const (
	notMapped  = 1    // SEGV_MAPERR
	fromKernel = 0x80 // SI_KERNEL: no address
)

func (f *fault) Error() string { return fmt.Sprintf("fault at %#x, si_code %d", f.address, f.code) }

// readRows fills the first bytes of each row from address on, stride bytes from one
// to the next. The kernel looks up the pages of every piece, so that rows that lie
// close are read with what is between them.
func (m memory) readRows(rows [][lineBytes]byte, bytes int, address, stride uint64) error {
	const close = 2048
	if span := (len(rows)-1)*int(stride) + bytes; stride <= close {
		var all [(tileRows-1)*close + lineBytes]byte
		if n, err := m.readSome(address, all[:span]); err == nil && n == span {
			for i := range rows {
				copy(rows[i][:bytes], all[i*int(stride):])
			}
			return nil
		}
	}
	n, err := unix.ProcessVMReadv(int(m), localRows(rows, bytes), remoteRows(address, stride, len(rows), bytes), 0)
	return transferred(n, err, len(rows), bytes, address, stride)
}

func (m memory) writeRows(rows [][lineBytes]byte, bytes int, address, stride uint64) error {
	n, err := unix.ProcessVMWritev(int(m), localRows(rows, bytes), remoteRows(address, stride, len(rows), bytes), 0)
	return transferred(n, err, len(rows), bytes, address, stride)
}

func remoteRows(address, stride uint64, n, bytes int) []unix.RemoteIovec {
	remote := make([]unix.RemoteIovec, n)
	for i := range remote {
		remote[i] = unix.RemoteIovec{Base: uintptr(address + uint64(i)*stride), Len: bytes}
	}
	return remote
}

func localRows(rows [][lineBytes]byte, bytes int) []unix.Iovec {
	local := make([]unix.Iovec, len(rows))
	for i := range rows {
		local[i].Base = &rows[i][0]
		local[i].SetLen(bytes)
	}
	return local
}

// transferred is a fault at the row that was not read or written whole.
func transferred(n int, err error, rows, bytes int, address, stride uint64) error {
	if err == unix.EFAULT {
		n, err = 0, nil
	}
	if err != nil || n == rows*bytes {
		return named(err)
	}
	return &fault{address + uint64(n/bytes)*stride, notMapped}
}

// readSome reads what there is of b: all, or up to a page that may not be read.
func (m memory) readSome(address uint64, b []byte) (int, error) {
	const page = 4096
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	var remote []unix.RemoteIovec // a piece is read whole or not at all
	for at := 0; at < len(b); {
		n := min(len(b)-at, page-int((address+uint64(at))%page))
		remote = append(remote, unix.RemoteIovec{Base: uintptr(address) + uintptr(at), Len: n})
		at += n
	}
	n, err := unix.ProcessVMReadv(int(m), local, remote, 0)
	if err == unix.EFAULT {
		return 0, &fault{address, notMapped}
	}
	return n, named(err)
}

func (m memory) read(address uint64, b []byte) error {
	n, err := m.readSome(address, b)
	if err == nil && n < len(b) {
		return &fault{address + uint64(n), notMapped}
	}
	return err
}

func (m memory) write(address uint64, b []byte) error {
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMWritev(int(m), local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(b)}}, 0)
	if err == unix.EFAULT || err == nil && n < len(b) {
		return &fault{address, notMapped}
	}
	return named(err)
}

// named says which call an error is of.
func named(err error) error {
	if err != nil {
		return fmt.Errorf("process_vm_readv or process_vm_writev of the program: %w", err)
	}
	return nil
}
