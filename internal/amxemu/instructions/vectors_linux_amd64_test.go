package instructions

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

func needBF16(t *testing.T) {
	if !cpu.X86.HasAVX512BF16 || !cpu.X86.HasAVX512BW {
		t.Skip("this CPU has no AVX512-BF16; run under amxemu")
	}
}

// program is memory that code can be written to and run in.
type program []byte

func newProgram(t testing.TB) program {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

func (p program) run(s *state, code ...[]byte) {
	n := 0
	for _, c := range code {
		n += copy(p[n:], c)
	}
	p[n] = 0xc3 // RET
	call(&p[0], s)
}

// form is an instruction of AVX512-BF16 with its operands.
type form struct {
	name           string
	prefix, opcode byte // of EVEX, in the map 0F38
	bytes          int
	dst, a, b      int // registers; b unless it is in memory
	mask           int
	zeroing        bool
	memory         []byte // ModRM's mod and rm, SIB and displacement
	x, y           byte   // the fourth bits of index and base
	broadcast      bool
}

// With the prefixes F3 and F2.
var forms = []form{
	{name: "VDPBF16PS", prefix: 2, opcode: 0x52},
	{name: "VCVTNEPS2BF16", prefix: 2, opcode: 0x72},
	{name: "VCVTNE2PS2BF16", prefix: 3, opcode: 0x72},
}

func (f form) encode() []byte {
	bit := func(v, i int) byte { return byte(v >> i & 1) }
	modrm := []byte{0xc0 | byte(f.b&7)}
	x, y := bit(f.b, 4), bit(f.b, 3)
	if f.memory != nil {
		modrm, x, y = append([]byte{}, f.memory...), f.x, f.y
	}
	modrm[0] |= byte(f.dst&7) << 3
	flag := func(is bool, i int) byte {
		if is {
			return 1 << i
		}
		return 0
	}
	length := map[int]byte{16: 0, 32: 1, 64: 2}[f.bytes]
	return append([]byte{0x62,
		(bit(f.dst, 3)<<7 | x<<6 | y<<5 | bit(f.dst, 4)<<4) ^ 0xf0 | 2,
		(byte(f.a&15) << 3) ^ 0x78 | 4 | f.prefix,
		flag(f.zeroing, 7) | length<<5 | flag(f.broadcast, 4) | bit(f.a, 4)<<3 ^ 8 | byte(f.mask),
		f.opcode}, modrm...)
}

// expect changes s as the instruction does, whose last operand is b. Of a sum that is
// NaN it keeps what got says: the manual has an order of them, but it is Intel's.
func (f form) expect(s *state, b [64]byte, got *state) {
	word := binary.LittleEndian.Uint32
	elements, size := f.bytes/4, 4
	if f.prefix == 3 {
		elements *= 2
	}
	if f.opcode == 0x72 {
		size = 2
	}
	var out [64]byte
	for i := range elements {
		old := s.z[f.dst][size*i:]
		switch {
		case f.mask != 0 && s.k[f.mask]>>i&1 == 0 && f.zeroing:
		case f.mask != 0 && s.k[f.mask]>>i&1 == 0:
			copy(out[size*i:][:size], old)
		case f.opcode == 0x52:
			v := pairs(math.Float32frombits(word(old)), word(s.z[f.a][4*i:]), word(b[4*i:]))
			if have := math.Float32frombits(word(got.z[f.dst][4*i:])); v != v && have != have {
				v = have
			}
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		case i < f.bytes/4:
			binary.LittleEndian.PutUint16(out[2*i:], nearest(word(b[4*i:])))
		default:
			binary.LittleEndian.PutUint16(out[2*i:], nearest(word(s.z[f.a][4*i-f.bytes:])))
		}
	}
	s.z[f.dst] = out
}

func (s *state) differs(want *state) string {
	for i := range s.z {
		if s.z[i] != want.z[i] {
			return fmt.Sprintf("Z%d is % x, want % x", i, s.z[i], want.z[i])
		}
	}
	if s.k != want.k || s.general != want.general || s.flags != want.flags || s.mxcsr != want.mxcsr {
		return fmt.Sprintf("masks %x, registers %x, flags %x, MXCSR %x, want %x, %x, %x, %x",
			s.k, s.general, s.flags, s.mxcsr, want.k, want.general, want.flags, want.mxcsr)
	}
	return ""
}

const (
	usualFlags = 0x246 // what is always set, and interrupts
	usualMXCSR = 0x1f80
	arithmetic = 0x8d5 // the flags of ADD
	auxiliary  = 1 << 4
	overflow   = 1 << 11
)

// randomState has bfloat16 numbers of a kind, in pairs, and other float32 next to
// what lies between two of them.
func randomState(r *rand.Rand, value func(r *rand.Rand) uint16) *state {
	s := &state{flags: usualFlags ^ uint64(r.Uint32()&arithmetic), mxcsr: usualMXCSR}
	for i := range s.z {
		for j := 0; j < 64; j += 4 {
			low := []uint32{uint32(value(r)), 0, 0x8000, 0x7fff, 0x8001, r.Uint32() & 0xffff}[r.IntN(6)]
			binary.LittleEndian.PutUint32(s.z[i][j:], uint32(value(r))<<16|low)
		}
	}
	for i := 1; i < 8; i++ {
		s.k[i] = r.Uint64()
	}
	for i := range s.general {
		s.general[i] = r.Uint64() >> r.IntN(64)
	}
	return s
}

// Each form with random registers, masks and addresses, in each rounding mode, does
// what exact arithmetic says, and changes nothing else: no flag, and nothing of MXCSR.
func TestVectors(t *testing.T) {
	needBF16(t)
	p := newProgram(t)
	for kind, value := range kinds {
		t.Run(kind, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 4))
			data := make([]byte, 4096)
			for trial := range 500 {
				f := forms[trial%3]
				f.bytes = 16 << r.IntN(3)
				f.dst, f.a, f.b, f.mask = r.IntN(32), r.IntN(32), r.IntN(32), r.IntN(8)
				f.zeroing = f.mask > 0 && r.IntN(2) == 0
				s := randomState(r, value)
				s.mxcsr |= uint64(r.IntN(4))<<13 | uint64(r.IntN(2))<<15 | uint64(r.IntN(2))<<6
				if f.name == "VCVTNEPS2BF16" {
					f.a = 0
				}
				b := s.z[f.b]
				if r.IntN(2) == 0 {
					f.broadcast = r.IntN(2) == 0
					copy(data, (*[2048]byte)(unsafe.Pointer(&randomState(r, value).z))[:])
					b = f.fromMemory(r, s, data)
				}
				want := *s
				p.run(s, f.encode())
				f.expect(&want, b, s)
				if d := s.differs(&want); d != "" {
					t.Fatalf("%+v (% x): %s", f, f.encode(), d)
				}
			}
		})
	}
}

// fromMemory gives the last operand some place in data, by some form of address, and
// says what is there. Registers beyond the address's are as they were.
func (f *form) fromMemory(r *rand.Rand, s *state, data []byte) (b [64]byte) {
	at := r.IntN(1024)
	unit := f.bytes
	if f.broadcast {
		unit = 4
		for i := 0; i < f.bytes; i += 4 {
			copy(b[i:i+4], data[at:])
		}
	} else {
		copy(b[:f.bytes], data[at:])
	}
	address := uint64(uintptr(unsafe.Pointer(&data[at])))
	near := int8(r.Uint32())
	far := int32(r.Uint32()) >> 8
	const si, r9, r12 = 4, 7, 10 // in state; SI is 6, R9 and R12 are of their numbers
	switch r.IntN(4) {
	case 0: // near(SI)
		f.memory = []byte{1<<6 | 6, byte(near)}
		s.general[si] = address - uint64(int64(near)*int64(unit))
	case 1: // far(R12)
		f.memory, f.y = binary.LittleEndian.AppendUint32([]byte{2<<6 | 4, 4<<3 | 4}, uint32(far)), 1
		s.general[r12] = address - uint64(int64(far))
	case 2: // near(SI)(R9*4)
		f.memory, f.x = []byte{1<<6 | 4, 2<<6 | 1<<3 | 6, byte(near)}, 1
		s.general[r9] = uint64(r.IntN(1000))
		s.general[si] = address - uint64(int64(near)*int64(unit)) - 4*s.general[r9]
	case 3: // (R9)(SI*1)
		f.memory, f.y = []byte{4, 6<<3 | 1}, 1
		s.general[si] = uint64(r.IntN(1000))
		s.general[r9] = address - s.general[si]
	}
	return b
}

// Every float32 whose upper half is one of all and whose lower one lies at an edge,
// by code that a test makes and by code of the program, which amxemu changes.
func TestNearest(t *testing.T) {
	needBF16(t)
	p := newProgram(t)
	convert := form{prefix: 2, opcode: 0x72, bytes: 64, dst: 1}.encode()
	for high := range uint32(1 << 12) {
		s := &state{flags: usualFlags, mxcsr: usualMXCSR}
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
			for i := range uint32(16) {
				binary.LittleEndian.PutUint32(s.z[0][4*i:], (high<<4|i)<<16|low)
			}
			p.run(s, convert)
			own := *s
			own.z[1] = [64]byte{}
			call(ownConversion(), &own)
			if d := own.differs(s); d != "" {
				t.Fatalf("the program's own code: %s", d)
			}
			for i := range 16 {
				x, got := binary.LittleEndian.Uint32(s.z[0][4*i:]), binary.LittleEndian.Uint16(s.z[1][2*i:])
				if want := nearest(x); got != want {
					t.Fatalf("%08x is %04x, want %04x", x, got, want)
				}
			}
		}
	}
}

// VCVTNEPS2BF16 in the program's code, of several registers in turn, changes only the
// one that it writes.
func TestOwnConversions(t *testing.T) {
	needBF16(t)
	r := rand.New(rand.NewPCG(7, 6))
	for kind, value := range kinds {
		for range 20 {
			s := randomState(r, value)
			s.mxcsr |= uint64(r.IntN(4))<<13 | uint64(r.IntN(2))<<15 | uint64(r.IntN(2))<<6
			want := *s
			call(ownConversions(), s)
			for _, c := range [][2]int{{9, 9}, {7, 24}, {31, 8}, {23, 30}, {0, 15}, {16, 1}, {2, 17}} {
				f := form{prefix: 2, opcode: 0x72, bytes: 64, dst: c[0], b: c[1]}
				f.expect(&want, want.z[c[1]], s)
			}
			if d := s.differs(&want); d != "" {
				t.Fatalf("%s: %s", kind, d)
			}
		}
	}
}

// What amxemu does behind an instruction so as not to stop again is what the CPU does:
// each piece of code runs by itself and behind a VDPBF16PS that changes nothing.
func TestBetween(t *testing.T) {
	needBF16(t)
	p := newProgram(t)
	first := form{prefix: 2, opcode: 0x52, bytes: 64, dst: 5, mask: 1}.encode()
	r := rand.New(rand.NewPCG(7, 5))
	mem := make([]byte, 128)
	for name, code := range map[string][]byte{ // the bytes are the GNU assembler's
		"VMOVUPS (SI), Z0; VMOVUPS 64(SI), Z29": {0x62, 0xf1, 0x7c, 0x48, 0x10, 0x06, 0x62, 0x61, 0x7c, 0x48, 0x10, 0x6e, 0x01},
		"VPBROADCASTD 8(SI), Z30":               {0x62, 0x62, 0x7d, 0x48, 0x58, 0x76, 0x02},
		"ADDQ $-4, AX":                          {0x48, 0x83, 0xc0, 0xfc},
		"ADDQ $2048, R9":                        {0x49, 0x81, 0xc1, 0x00, 0x08, 0, 0},
		"ADDQ R15, R12":                         {0x4d, 0x01, 0xfc},
		"DECQ R13":                              {0x49, 0xff, 0xcd},
		"DECQ CX; JNZ over ADDQ $4, AX":         {0x48, 0xff, 0xc9, 0x75, 0x04, 0x48, 0x83, 0xc0, 0x04},
		"ADDQ CX, R9; JNZ over ADDQ $4, AX":     {0x49, 0x01, 0xc9, 0x0f, 0x85, 0x04, 0, 0, 0, 0x48, 0x83, 0xc0, 0x04},
		"SUBQ CX, R9":                           {0x49, 0x29, 0xc9},
		"CMPQ R12, $16":                         {0x49, 0x83, 0xfc, 0x10},
		"CMPQ CX, $-1; JLE over ADDQ $4, AX":    {0x48, 0x83, 0xf9, 0xff, 0x0f, 0x8e, 0x04, 0, 0, 0, 0x48, 0x83, 0xc0, 0x04},
		"SUBQ CX, R9; JLE over ADDQ $4, AX":     {0x49, 0x29, 0xc9, 0x0f, 0x8e, 0x04, 0, 0, 0, 0x48, 0x83, 0xc0, 0x04},
		"MOVQ R10, R12":                         {0x4d, 0x89, 0xd4},
		"MOVQ $-128, R15":                       {0x49, 0xc7, 0xc7, 0x80, 0xff, 0xff, 0xff},
		"TESTQ AX, CX":                          {0x48, 0x85, 0xc1},
		"SHLQ $4, R10":                          {0x49, 0xc1, 0xe2, 0x04},
		"SHRQ $63, DI":                          {0x48, 0xc1, 0xef, 0x3f},
		"SHRQ $2, AX":                           {0x48, 0xc1, 0xe8, 0x02},
		"MOVQ R12, X0; MOVQ X15, BX":            {0x66, 0x49, 0x0f, 0x6e, 0xc4, 0x66, 0x4c, 0x0f, 0x7e, 0xfb},
		"JMP over ADDQ $4, AX":                  {0xeb, 0x04, 0x48, 0x83, 0xc0, 0x04},
		"PREFETCHT1 64(R12); PREFETCHT0 (BX)":   {0x41, 0x0f, 0x18, 0x54, 0x24, 0x40, 0x0f, 0x18, 0x0b},
	} {
		for trial := range 200 {
			s := randomState(r, kinds["finite"])
			edges := []uint64{0, 1, 15, 16, 17, 1 << 63, 1<<63 - 1, 1 << 31, 4, ^uint64(0)}
			for i := range s.general {
				if r.IntN(2) == 0 {
					s.general[i] = edges[r.IntN(len(edges))]
				}
			}
			switch trial % 8 { // R9 and CX
			case 0:
				s.general[7] = -s.general[1]
			case 1:
				s.general[7] = s.general[1]
			}
			s.k[1] = 0
			for i := range mem {
				mem[i] = byte(r.Uint32())
			}
			s.general[4] = uint64(uintptr(unsafe.Pointer(&mem[0]))) // SI
			want := *s
			p.run(&want, code)
			p.run(s, first, code)
			switch name[:3] {
			case "TES": // what the manual does not define
				s.flags, want.flags = s.flags&^auxiliary, want.flags&^auxiliary
			case "SHL", "SHR":
				s.flags, want.flags = s.flags&^(auxiliary|overflow), want.flags&^(auxiliary|overflow)
			}
			if d := s.differs(&want); d != "" {
				t.Fatalf("%s: %s", name, d)
			}
		}
	}
}

// A loop that takes longer than amxemu lets others wait.
func TestLongLoop(t *testing.T) {
	needBF16(t)
	p := newProgram(t)
	s := &state{flags: usualFlags, mxcsr: usualMXCSR}
	const rounds = 50_000
	s.general[1] = rounds
	for i := range 16 {
		binary.LittleEndian.PutUint32(s.z[1][4*i:], 0x3f800000) // (0, 1)
		binary.LittleEndian.PutUint32(s.z[2][4*i:], 0x40000000)
	}
	p.run(s, form{prefix: 2, opcode: 0x52, bytes: 64, dst: 0, a: 1, b: 2}.encode(), []byte{0x48, 0xff, 0xc9, 0x75, 0xf5}) // DECQ CX; JNZ to the first
	for i := range 16 {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(s.z[0][4*i:])); got != 2*rounds {
			t.Fatalf("sum %d is %g, want %d", i, got, 2*rounds)
		}
	}
}

// An operand that may not be read is a fault with its address, behind other
// instructions too; elements that the mask leaves out are not read.
func TestVectorFault(t *testing.T) {
	needBF16(t)
	p := newProgram(t)
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	if err := unix.Mprotect(mem[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	edge := uintptr(unsafe.Pointer(&mem[0])) + uintptr(page)
	harmless := form{prefix: 2, opcode: 0x52, bytes: 64, dst: 5, mask: 1}.encode()
	load := []byte{0x62, 0xf1, 0x7c, 0x48, 0x10, 0x06} // VMOVUPS (SI), Z0
	for _, c := range []struct {
		name   string
		code   [][]byte
		before int // bytes of the operand before the edge
		mask   uint64
		at     uintptr // 0: no fault
	}{
		{"all inside", [][]byte{forms[0].at(64, 0, false)}, 64, 0, 0},
		{"behind the edge", [][]byte{forms[0].at(64, 0, false)}, 0, 0, edge},
		{"across the edge", [][]byte{forms[0].at(64, 0, false)}, 60, 0, edge},
		{"masked across the edge", [][]byte{forms[0].at(64, 2, false)}, 60, 0x7fff, 0},
		{"masked, one too many", [][]byte{forms[0].at(64, 2, false)}, 56, 0x7fff, edge},
		{"masked, all", [][]byte{forms[0].at(64, 2, false)}, 0, 0, 0},
		{"conversion, masked across the edge", [][]byte{forms[1].at(32, 2, false)}, 8, 3, 0},
		{"conversion, one too many", [][]byte{forms[1].at(32, 2, false)}, 8, 7, edge},
		{"two conversions do not look at the mask", [][]byte{forms[2].at(32, 2, false)}, 8, 3, edge},
		{"broadcast inside", [][]byte{forms[0].at(64, 0, true)}, 4, 0, 0},
		{"broadcast behind the edge", [][]byte{forms[0].at(64, 0, true)}, 0, 0, edge},
		{"masked broadcast behind the edge", [][]byte{forms[0].at(64, 2, true)}, 0, 0, 0},
		{"a later load inside", [][]byte{harmless, load}, 64, 0, 0},
		{"a later load", [][]byte{harmless, load}, 0, 0, edge},
		{"a second one", [][]byte{harmless, forms[1].at(16, 0, false)}, 0, 0, edge},
	} {
		s := &state{flags: usualFlags, mxcsr: usualMXCSR}
		s.k[2] = c.mask
		s.general[4] = uint64(edge) - uint64(c.before)
		if at, is := faults(func() { p.run(s, c.code...) }); is != (c.at != 0) || at != c.at {
			t.Errorf("%s: fault %v at %#x, want %#x", c.name, is, at, c.at)
		}
	}
}

// at is the instruction with the operand at (SI).
func (f form) at(bytes, mask int, broadcast bool) []byte {
	f.bytes, f.mask, f.broadcast, f.memory = bytes, mask, broadcast, []byte{6}
	return f.encode()
}

// misencoded are instructions that the CPU does not know either.
var misencoded = map[string][]byte{
	"VDPBF16PS with W":                    {0x62, 0xf2, 0xee, 0x48, 0x52, 0xcb},
	"VDPBF16PS of 1024 bits":              {0x62, 0xf2, 0x6e, 0x68, 0x52, 0xcb},
	"VDPBF16PS broadcast from a register": {0x62, 0xf2, 0x6e, 0x58, 0x52, 0xcb},
	"VDPBF16PS zeroing without a mask":    {0x62, 0xf2, 0x6e, 0xc8, 0x52, 0xcb},
	"VCVTNEPS2BF16 with a second operand": {0x62, 0xf2, 0x6e, 0x48, 0x72, 0xcb},
}

func TestVectorMisuse(t *testing.T) {
	needBF16(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range misencoded {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), misuse+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "SIGILL: illegal instruction") {
			t.Errorf("%s: %v, no SIGILL\n%s", name, err, out)
		}
	}
}

// A process begins with the upper registers not in use, which XSAVE leaves out.
func TestFirstUse(t *testing.T) {
	needBF16(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), misuse+"="+firstUse)
	want := strings.Repeat("c03f", 16) + strings.Repeat("00", 32)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
		t.Errorf("%v: Z31 is %s, want %s", err, out, want)
	}
}

// Many threads at once, with garbage collection and so with signals, each have
// registers of their own.
func TestVectorThreads(t *testing.T) {
	needBF16(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	var wg sync.WaitGroup
	wrong := make([]string, 8)
	for g := range wrong {
		p := newProgram(t)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(g)))
			start := randomState(r, kinds["near 1"])
			var code [][]byte
			for i := range 20 {
				f := forms[i%3]
				f.bytes, f.dst, f.b = 64, r.IntN(32), r.IntN(32)
				if f.name != "VCVTNEPS2BF16" {
					f.a = r.IntN(32)
				}
				code = append(code, f.encode(), []byte{0x48, 0x31, 0xc0}) // XORQ AX, AX: another stop
			}
			want := *start
			p.run(&want, code...)
			var keep [8][]byte
			for i := range 100 {
				keep[i%8] = make([]byte, 1<<(i%14))
				s := *start
				p.run(&s, code...)
				if d := s.differs(&want); d != "" {
					wrong[g] = fmt.Sprintf("thread %d, run %d: %s", g, i, d)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, w := range wrong {
		if w != "" {
			t.Error(w)
		}
	}
}
