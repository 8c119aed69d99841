package instructions

import (
	"bytes"
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
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// misuse names, in a process that is to die, what does that, and firstUse makes one
// that shows what a register holds that no instruction wrote before.
const (
	misuse   = "AMXEMU_MISUSE"
	firstUse = "first use of Z31"
)

func TestMain(m *testing.M) {
	cfg := shapes(16, 16, 16)
	switch name := os.Getenv(misuse); name {
	case "":
		os.Exit(m.Run())
	case "no permission":
		configuration(cfg, new(config), new(config))
		zero(cfg, matrix{unsafe.Pointer(new([4096]byte)), 64})
	case "AMX-INT8":
		permit()
		integer(cfg)
	case "no configuration":
		permit()
		unconfigured()
	case "one tile twice":
		permit()
		same(cfg)
	case "shapes that do not fit":
		permit()
		cfg.rows[2] = 15
		m := matrix{unsafe.Pointer(new([4096]byte)), 64}
		multiply(cfg, m, m, m)
	case "widths that do not fit":
		permit()
		cfg.bytes[2] = 60
		m := matrix{unsafe.Pointer(new([4096]byte)), 64}
		multiply(cfg, m, m, m)
	case "bytes that are no whole floats":
		permit()
		cfg.bytes[3] = 62
		zero(cfg, matrix{unsafe.Pointer(new([4096]byte)), 64})
	case firstUse:
		x, z := float32(1.5), [64]byte{}
		unused(&x, &z)
		fmt.Printf("%x", z)
	default:
		mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		program(mem).run(&state{flags: usualFlags, mxcsr: usualMXCSR}, misencoded[name])
	}
}

func permit() error {
	const archReqXcompPerm, xtileData = 0x1023, 18
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXcompPerm, xtileData, 0); errno != 0 {
		return errno
	}
	return nil
}

func needAMX(t *testing.T) {
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXBF16 {
		t.Skip("this CPU has no AMX-BF16; run under amxemu")
	}
	if err := permit(); err != nil {
		t.Fatalf("the kernel does not let tiles be used: %v", err)
	}
}

// shapes is the configuration of c (m x n floats), a (m x k pairs), b (k x n
// pairs) in tiles 0 to 2, with c's shape again in 3.
func shapes(m, n, k int) *config {
	c := &config{palette: 1}
	for i, s := range [4][2]int{{m, n}, {m, k}, {k, n}, {m, n}} {
		c.rows[i], c.bytes[i] = uint8(s[0]), uint16(4*s[1])
	}
	return c
}

// area is memory for 16 rows of up to 64 bytes, stride bytes apart.
type area struct {
	mem    []byte
	stride int
}

func newArea(stride int) *area { return &area{make([]byte, 15*stride+64), stride} }

func (a *area) matrix() matrix { return matrix{unsafe.Pointer(&a.mem[0]), uintptr(a.stride)} }

func (a *area) at(i, j int) []byte { return a.mem[i*a.stride+4*j:] }

func (a *area) word(i, j int) uint32 { return binary.LittleEndian.Uint32(a.at(i, j)) }

// fill sets every byte from r, so that what lies between rows counts.
func (a *area) fill(r *rand.Rand, word func() uint32) {
	for i := range a.mem {
		a.mem[i] = byte(r.Uint32())
	}
	for i := range 16 {
		for j := range 16 {
			binary.LittleEndian.PutUint32(a.at(i, j), word())
		}
	}
}

// Kinds of bfloat16 numbers: those whose products are normal and add up to others;
// to denormal ones; that are both; powers of 2 whose sums lie within a rounding of
// the smallest normal number; products beyond the largest; all that are finite; those at the edges; NaN and Inf.
var kinds = map[string]func(r *rand.Rand) uint16{
	"near 1":        func(r *rand.Rand) uint16 { return uint16(r.Uint32()&0x807f | (110+r.Uint32N(30))<<7) },
	"small":         func(r *rand.Rand) uint16 { return uint16(r.Uint32()&0x807f | (55+r.Uint32N(16))<<7) },
	"hardly normal": func(r *rand.Rand) uint16 { return uint16(r.Uint32()&0x807f | (64+r.Uint32N(2))<<7) },
	"a rounding off": func(r *rand.Rand) uint16 {
		return uint16(r.Uint32N(2)<<15 | []uint32{64, 64, 64, 52, 51, 50}[r.IntN(6)]<<7 | r.Uint32N(2)<<6)
	},
	"large":  func(r *rand.Rand) uint16 { return uint16(r.Uint32()&0x807f | (189+r.Uint32N(3))<<7) },
	"finite": func(r *rand.Rand) uint16 { return uint16(r.Uint32()&0x807f | r.Uint32N(255)<<7) },
	"any": func(r *rand.Rand) uint16 {
		if r.IntN(4) == 0 {
			edge := []uint16{0, 0x8000, 1, 0x8001, 0x7f, 0x80, 0x8080, 0x7f7f, 0xff7f, 0x3f80, 0xbf80}
			return edge[r.IntN(len(edge))]
		}
		return uint16(r.Uint32()&0x807f | (40+r.Uint32N(175))<<7)
	},
	"not finite": func(r *rand.Rand) uint16 {
		if r.IntN(64) == 0 {
			return []uint16{0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff}[r.IntN(5)]
		}
		return uint16(r.Uint32()&0x807f | (100+r.Uint32N(50))<<7)
	},
}

func TestProduct(t *testing.T) {
	needAMX(t)
	for name, value := range kinds {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 1))
			for trial := range 40 {
				m, n, k := 1+r.IntN(16), 1+r.IntN(16), 1+r.IntN(16)
				if trial == 0 {
					m, n, k = 16, 16, 16
				}
				c, a, b := newArea(64+4*r.IntN(9)), newArea(64+r.IntN(70)), newArea(64+2*r.IntN(50))
				pair := func() uint32 { return uint32(value(r))<<16 | uint32(value(r)) }
				c.fill(r, []func() uint32{
					func() uint32 { return uint32(value(r))<<16 | r.Uint32N(1<<16) },
					func() uint32 { return 0 },
					func() uint32 { return r.Uint32()&0x80ffffff + r.Uint32N(2)<<23 }, // around the smallest normal number
				}[trial%3])
				a.fill(r, pair)
				b.fill(r, pair)
				want := bytes.Clone(c.mem)
				for i := range m {
					for j := range n {
						binary.LittleEndian.PutUint32(want[i*c.stride+4*j:], math.Float32bits(element(c, a, b, i, j, k)))
					}
				}
				multiply(shapes(m, n, k), c.matrix(), a.matrix(), b.matrix())
				for i := range m {
					for j := range n {
						got := math.Float32frombits(c.word(i, j))
						if w := math.Float32frombits(binary.LittleEndian.Uint32(want[i*c.stride+4*j:])); w != w && got != got {
							copy(want[i*c.stride+4*j:], c.at(i, j)[:4]) // any NaN: the manual does not say which
						} else if math.Float32bits(got) != math.Float32bits(w) {
							t.Fatalf("%d x %d x %d: [%d,%d] = %g (%08x), want %g (%08x)", m, n, k, i, j, got, math.Float32bits(got), w, math.Float32bits(w))
						}
					}
				}
				if !bytes.Equal(c.mem, want) {
					t.Fatalf("%d x %d x %d: something beside the result was written", m, n, k)
				}
			}
		})
	}
}

func TestZeroAndMove(t *testing.T) {
	needAMX(t)
	r := rand.New(rand.NewPCG(7, 2))
	for m := 1; m <= 16; m++ {
		for n := 1; n <= 16; n++ {
			a, to := newArea(64+m), newArea(64+n)
			a.fill(r, r.Uint32)
			to.fill(r, r.Uint32)
			want, moved := bytes.Clone(a.mem), bytes.Clone(to.mem)
			for i := range m {
				clear(want[i*a.stride:][:4*n])
			}
			zero(shapes(m, n, 1), a.matrix())
			if !bytes.Equal(a.mem, want) {
				t.Fatalf("TILEZERO of %d rows of %d floats stored something else", m, n)
			}
			from := newArea(64 + 4*n)
			from.fill(r, r.Uint32)
			for i := range m {
				copy(moved[i*to.stride:][:4*n], from.at(i, 0))
			}
			move(shapes(m, n, 1), to.matrix(), matrix{unsafe.Add(unsafe.Pointer(&from.mem[0]), -64), uintptr(from.stride / 4)})
			if !bytes.Equal(to.mem, moved) {
				t.Fatalf("%d rows of %d floats: stored other than loaded", m, n)
			}
		}
	}
}

// faults says whether f does what Linux answers with SIGSEGV, and where.
func faults(f func()) (address uintptr, is bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			is = true
			if at, ok := e.(interface{ Addr() uintptr }); ok {
				address = at.Addr()
			}
		}
	}()
	f()
	return 0, false
}

func TestConfiguration(t *testing.T) {
	needAMX(t)
	for name, c := range map[string]struct {
		change func(*config)
		faults bool
	}{
		"shapes":             {func(*config) {}, false},
		"released":           {func(c *config) { *c = config{} }, false},
		"62 bytes":           {func(c *config) { c.bytes[7], c.rows[7] = 62, 3 }, false},
		"palette 2":          {func(c *config) { c.palette = 2 }, true},
		"17 rows":            {func(c *config) { c.rows[1] = 17 }, true},
		"65 bytes":           {func(c *config) { c.bytes[1] = 65 }, true},
		"no rows":            {func(c *config) { c.rows[1] = 0 }, true},
		"no bytes":           {func(c *config) { c.bytes[1] = 0 }, true},
		"tile 8":             {func(c *config) { c.bytes[8], c.rows[8] = 64, 1 }, true},
		"palette 0 and rest": {func(c *config) { c.palette = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := shapes(7, 5, 3)
			c.change(cfg)
			loaded, released := config{rows: [16]uint8{9}}, config{rows: [16]uint8{9}}
			_, got := faults(func() { configuration(cfg, &loaded, &released) })
			want := *cfg
			if cfg.palette == 0 {
				want = config{}
			}
			switch {
			case got != c.faults:
				t.Fatalf("it faults: %v, want %v", got, c.faults)
			case !got && (loaded != want || released != config{}):
				t.Fatalf("LDTILECFG %v and STTILECFG: %v; after TILERELEASE %v", *cfg, loaded, released)
			}
		})
	}
}

// A row that may not be read or written is a fault with its address, and what
// ended before is read.
func TestFault(t *testing.T) {
	needAMX(t)
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
	good := newArea(64)
	for rows := 1; rows <= 16; rows++ {
		inside := unsafe.Pointer(&mem[page-rows*64])
		if at, is := faults(func() { move(shapes(rows, 16, 1), good.matrix(), matrix{unsafe.Add(inside, -64), 16}) }); is {
			t.Fatalf("%d rows before the edge: fault at %#x, edge %#x", rows, at, edge)
		}
		if rows == 16 {
			break
		}
		if at, is := faults(func() { move(shapes(rows+1, 16, 1), good.matrix(), matrix{unsafe.Add(inside, -64), 16}) }); !is || at != edge {
			t.Fatalf("reading row %d beyond the edge: fault %v at %#x, edge %#x", rows, is, at, edge)
		}
		if at, is := faults(func() { zero(shapes(rows+1, 16, 1), matrix{inside, 64}) }); !is || at != edge {
			t.Fatalf("row %d beyond the edge: fault %v at %#x, edge %#x", rows, is, at, edge)
		}
	}
	if err := unix.Mprotect(mem[page:], unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	if at, is := faults(func() { zero(shapes(2, 16, 1), matrix{unsafe.Pointer(&mem[page-64]), 64}) }); !is || at != edge {
		t.Fatalf("writing a row that may be read only: fault %v at %#x, edge %#x", is, at, edge)
	}
}

// What is against the rules, or not AMX-BF16, still ends the process.
func TestMisuse(t *testing.T) {
	needAMX(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cases := []string{"no permission", "no configuration", "one tile twice", "shapes that do not fit", "widths that do not fit", "bytes that are no whole floats"}
	if !cpu.X86.HasAMXInt8 {
		cases = append(cases, "AMX-INT8")
	}
	for _, name := range cases {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), misuse+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "SIGILL: illegal instruction") {
			t.Errorf("%s: %v, no SIGILL\n%s", name, err, out)
		}
	}
}

// Many threads at once, with garbage collection and so with signals, each have
// tiles of their own.
func TestThreads(t *testing.T) {
	needAMX(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	var wg sync.WaitGroup
	wrong := make([]string, 8)
	for g := range wrong {
		wg.Go(func() {
			runtime.LockOSThread()
			r := rand.New(rand.NewPCG(7, uint64(g)))
			m, n, k := 2*g+1, 16-g, g+1
			value := kinds["near 1"]
			c, a, b := newArea(64), newArea(64), newArea(64)
			for _, x := range []*area{c, a, b} {
				x.fill(r, func() uint32 { return uint32(value(r))<<16 | uint32(value(r)) })
			}
			start := bytes.Clone(c.mem)
			multiply(shapes(m, n, k), c.matrix(), a.matrix(), b.matrix())
			want := bytes.Clone(c.mem)
			var keep [8][]byte
			for i := range 200 {
				keep[i%8] = make([]byte, 1<<(i%14))
				copy(c.mem, start)
				multiply(shapes(m, n, k), c.matrix(), a.matrix(), b.matrix())
				if !bytes.Equal(c.mem, want) {
					wrong[g] = fmt.Sprintf("thread %d, product %d: another result", g, i)
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
