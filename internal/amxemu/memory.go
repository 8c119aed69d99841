//go:build linux && amd64

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const pageBytes = 4096

type page [pageBytes]byte

// memory is that of a thread while it stands. A page is read once; what other threads
// write meanwhile could as well have come later.
type memory struct {
	tid   int
	pages map[uint64]*page // by address / pageBytes
	free  []*page
}

// of makes it a thread's that has just stopped.
func (m *memory) of(tid int) {
	m.tid = tid
	for _, p := range m.pages {
		m.free = append(m.free, p)
	}
	clear(m.pages)
}

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

// load reads the pages of those numbers that are not known yet, up to one that may
// not be read.
func (m *memory) load(numbers ...uint64) error {
	var local []unix.Iovec
	var remote []unix.RemoteIovec // a piece is read whole or not at all
	var read []*page
	for _, number := range numbers {
		if m.pages[number] != nil {
			continue
		}
		if len(m.free) == 0 {
			m.free = append(m.free, new(page))
		}
		p := m.free[len(m.free)-1]
		m.free = m.free[:len(m.free)-1]
		m.pages[number] = p
		read = append(read, p)
		local = append(local, unix.Iovec{Base: &p[0], Len: pageBytes})
		remote = append(remote, unix.RemoteIovec{Base: uintptr(number * pageBytes), Len: pageBytes})
	}
	if len(read) == 0 {
		return nil
	}
	n, err := unix.ProcessVMReadv(m.tid, local, remote, 0)
	if err != nil {
		n = 0
	}
	for i := n / pageBytes; i < len(read); i++ {
		delete(m.pages, uint64(remote[i].Base)/pageBytes)
		m.free = append(m.free, read[i])
	}
	if err == unix.EFAULT {
		return nil
	}
	return named(err)
}

// read fills b with what lies from address on.
func (m *memory) read(address uint64, b []byte) error {
	for len(b) > 0 {
		number := address / pageBytes
		p := m.pages[number]
		if p == nil {
			if err := m.load(number); err != nil {
				return err
			}
			if p = m.pages[number]; p == nil {
				return &fault{address, notMapped}
			}
		}
		n := copy(b, p[address%pageBytes:])
		address, b = address+uint64(n), b[n:]
	}
	return nil
}

// readRows fills the first bytes of each row from address on, stride bytes from one
// to the next.
func (m *memory) readRows(rows []line, bytes int, address, stride uint64) error {
	var numbers [2 * tileRows]uint64
	for i := range rows {
		at := address + uint64(i)*stride
		numbers[2*i], numbers[2*i+1] = at/pageBytes, (at+uint64(bytes)-1)/pageBytes
	}
	if err := m.load(numbers[:2*len(rows)]...); err != nil {
		return err
	}
	for i := range rows {
		if err := m.read(address+uint64(i)*stride, rows[i][:bytes]); err != nil {
			return err
		}
	}
	return nil
}

// write stores pieces of one length, stride bytes from one to the next.
func (m *memory) write(address, stride uint64, pieces ...[]byte) error {
	local, remote := make([]unix.Iovec, len(pieces)), make([]unix.RemoteIovec, len(pieces))
	for i, p := range pieces {
		at := address + uint64(i)*stride
		local[i] = unix.Iovec{Base: &p[0], Len: uint64(len(p))}
		remote[i] = unix.RemoteIovec{Base: uintptr(at), Len: len(p)}
		for b := p; len(b) > 0; { // what is known of the pages
			n := min(len(b), pageBytes-int(at%pageBytes))
			if known := m.pages[at/pageBytes]; known != nil {
				copy(known[at%pageBytes:], b[:n])
			}
			at, b = at+uint64(n), b[n:]
		}
	}
	n, err := unix.ProcessVMWritev(m.tid, local, remote, 0)
	if err == unix.EFAULT {
		n, err = 0, nil
	}
	if bytes := len(pieces[0]); err == nil && n < len(pieces)*bytes {
		return &fault{address + uint64(n/bytes)*stride, notMapped}
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
