package cpu

import (
	"sync"
	"time"

	"eaft/compute"
	"eaft/internal/machine"
)

// peakLoop is an instruction in a loop that touches no memory: run(n) executes
// n*flops floating-point operations. Its operands are zeros or small numbers.
type peakLoop struct {
	instruction string
	flops       int
	run         func(n int)
}

// readLoop reads n blocks of readBlock float32 and leaves nothing behind.
type readLoop func(x []float32, blocks int)

const (
	readBlock = 128     // float32 of one iteration: 8 registers of 64 bytes
	readChunk = 1 << 17 // float32 of one call: 512 KiB, so that no call holds up the collector
)

const (
	limitRounds = 5
	peakTime    = 20 * time.Millisecond // of a round
	peakCall    = 200 * time.Microsecond
)

var _ compute.Limits = (*Device)(nil)

// Threads is how many run an operation.
func (d *Device) Threads() int { return d.pool.threads }

// Peak is the best of five rounds of 20 ms; see compute.Limits.
func (d *Device) Peak(dtype compute.DType) (instruction string, flops float64) {
	loop := peakLoopOf(d.k, dtype)
	per := 1
	for spent := time.Duration(0); spent < peakCall; {
		per *= 2
		began := time.Now()
		loop.run(per)
		spent = time.Since(began)
	}
	var best float64
	for range limitRounds {
		calls := d.together(func() (calls float64) {
			for began := time.Now(); ; {
				loop.run(per)
				calls++
				if t := time.Since(began); t >= peakTime {
					return calls / t.Seconds()
				}
			}
		})
		best = max(best, calls*float64(per)*float64(loop.flops))
	}
	return loop.instruction, best
}

// Bandwidth is the best of five passes over a buffer of twice the last cache;
// see compute.Limits.
func (d *Device) Bandwidth() (bytesPerSecond float64, buffer int) {
	size := max(256<<20, 2*machine.Cache())
	if mem := machine.Memory(); mem > 0 {
		size = min(size, int(mem/4))
	}
	n := max(1, size/4/readChunk/d.Threads())
	read := readLoopOf(d.k)
	bufs := make([][]float32, d.Threads())
	var next sync.Mutex
	free := 0
	take := func() int {
		next.Lock()
		defer next.Unlock()
		free++
		return free - 1
	}
	d.together(func() float64 {
		b := make([]float32, n*readChunk)
		for i := 0; i < len(b); i += 1 << 10 {
			b[i] = 1 // a page of its own, not the kernel's page of zeros
		}
		bufs[take()] = b
		return 0
	})
	for range limitRounds {
		free = 0
		rate := d.together(func() float64 {
			b := bufs[take()]
			began := time.Now()
			for c := range n {
				read(b[c*readChunk:][:readChunk], readChunk/readBlock)
			}
			return float64(4*len(b)) / time.Since(began).Seconds()
		})
		bytesPerSecond = max(bytesPerSecond, rate)
	}
	return bytesPerSecond, 4 * n * readChunk * d.Threads()
}

// together runs f on all threads, which start as one, and adds up their rates.
func (d *Device) together(f func() float64) float64 {
	rates := make([]float64, d.Threads())
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range rates {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			rates[i] = f()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	var sum float64
	for _, r := range rates {
		sum += r
	}
	return sum
}

// peakScalar is what the portable kernels have: one multiplication and one
// addition at a time, not fused.
var peakScalar = peakLoop{"scalar multiply and add", 2 * 12, func(n int) {
	const a, b = 0.5, 0.25
	var s [12]float32
	s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]
	x, y := float32(a), float32(b)
	for range n {
		s0 = float32(s0*x) + y
		s1 = float32(s1*x) + y
		s2 = float32(s2*x) + y
		s3 = float32(s3*x) + y
		s4 = float32(s4*x) + y
		s5 = float32(s5*x) + y
		s6 = float32(s6*x) + y
		s7 = float32(s7*x) + y
		s8 = float32(s8*x) + y
		s9 = float32(s9*x) + y
		s10 = float32(s10*x) + y
		s11 = float32(s11*x) + y
	}
	sink(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11)
}}

// readGo reads a cache line at a time.
func readGo(x []float32, blocks int) {
	var s0, s1, s2, s3 float32
	for b := range blocks {
		for l := range readBlock / 16 {
			line := x[b*readBlock+16*l:][:16]
			s0 += line[0]
			s1 += line[4]
			s2 += line[8]
			s3 += line[12]
		}
	}
	sink(s0 + s1 + s2 + s3)
}

// sink keeps the compiler from dropping a loop whose result nobody wants.
//
//go:noinline
func sink(float32) {}
