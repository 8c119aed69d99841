//go:build linux && amd64

package main

import (
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// machine does instructions for a thread while it stands: its registers are fetched
// when they are needed and handed back at the end.
type machine struct {
	general [17]uint64 // by their number in an instruction; 16 is RIP
	flags   uint64
	vectors vectors
	memory  memory
	runs    int
	decoded [1024]decoded // by the address's lowest bits
}

// decoded is what lies at an address, as a run has seen it.
type decoded struct {
	run     int
	address uint64
	known   bool
	instruction
}

func newMachine() *machine { return &machine{memory: memory{pages: map[uint64]*page{}}} }

// run does the instruction that the thread stands at, if it is one of those that the
// CPU lacks, and the known ones behind it: a stop takes 10 microseconds and more, an
// instruction a hundredth of that. It says whether any was done; if not, the error
// says why, or is nil for one that is not known. What fails later ends the run, and
// fails again as the first of another or on the CPU.
func (m *machine) run(tid int, th *thread) (done bool, err error) {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return false, err
	}
	m.general = [17]uint64{r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi,
		r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.Rip}
	m.flags = r.Eflags
	m.memory.of(tid)
	m.vectors.known, m.vectors.changed = false, false
	m.runs++
	const most = 1 << 16 // for other threads wait
	for range most {
		var in *instruction
		if in, err = m.next(); err != nil || in == nil || !done && in.op >= vmovups ||
			in.op.ofAMX() && !th.process.permitted || in.op.ofBF16() && cpu.X86.HasAVX512BF16 {
			break
		}
		if err = m.execute(in, &th.tiles); err != nil {
			break
		}
		done = true
	}
	if !done {
		return false, err
	}
	if m.vectors.changed {
		if err := m.vectors.set(tid); err != nil {
			return false, err
		}
	}
	g := &m.general
	r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
	r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15 = g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]
	r.Rip, r.Eflags = g[rip], m.flags
	return true, unix.PtraceSetRegs(tid, &r)
}

// next is the instruction at RIP, or nil.
func (m *machine) next() (*instruction, error) {
	at := m.general[rip]
	d := &m.decoded[at%uint64(len(m.decoded))]
	if d.run != m.runs || d.address != at {
		const longest = 15
		var code [longest]byte
		n := pageBytes - int(at%pageBytes) // the next page may not exist
		if n >= longest || m.memory.read(at+uint64(n), code[n:]) == nil {
			n = longest
		}
		if err := m.memory.read(at, code[:n]); err != nil {
			return nil, err
		}
		d.run, d.address = m.runs, at
		d.instruction, d.known = decode(code[:n])
	}
	if !d.known {
		return nil, nil
	}
	return &d.instruction, nil
}

// execute does an instruction; on an error nothing has changed.
func (m *machine) execute(in *instruction, t *tiles) (err error) {
	m.general[rip] += uint64(in.length)
	switch {
	case in.op.ofAMX():
		err = t.execute(in, &m.general, &m.memory)
	case in.op < addq:
		err = m.executeVector(in)
	default:
		m.executeGeneral(in)
	}
	if err != nil {
		m.general[rip] -= uint64(in.length)
	}
	return err
}
