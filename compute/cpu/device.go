package cpu

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"eaft/compute"
)

// isas are the names of all implementations, on whatever CPU.
var isas = []string{"generic", "avx2", "avx512", "avx512bf16", "amx"}

// engine runs the operations in precision F with some instruction set's kernels.
type engine[F real] struct {
	k      *kernels[F]
	pool   *pool
	buf    buffers[F]
	halves halfBuffers
}

func newEngine[F real](k *kernels[F], threads int) *engine[F] {
	return &engine[F]{k: k, pool: &pool{threads: threads}}
}

// ISA names the numeric path: "generic", "avx2", "avx512", "avx512bf16" or "amx".
func (e *engine[F]) ISA() string { return e.k.isa }

// Device is the CPU as a compute.Device. Its methods may be called from several
// goroutines as long as they do not write what another reads.
type Device struct{ *engine[float32] }

var _ compute.Device = (*Device)(nil)

// New is the CPU with the best instruction set it has, on the given number of
// threads, 0 for all; fewer are an error. The environment variable EAFT_CPU (generic,
// avx2, avx512, avx512bf16, amx) asks for another one; it is an error if that is not there.
func New(threads int) (*Device, error) {
	switch {
	case threads < 0:
		return nil, fmt.Errorf("%d threads: use 1 or more, or 0 for all", threads)
	case threads == 0:
		threads = runtime.GOMAXPROCS(0)
	}
	have := available()
	k := have[len(have)-1]
	if want := os.Getenv("EAFT_CPU"); want != "" {
		k = nil
		var names []string
		for _, h := range have {
			names = append(names, h.isa)
			if h.isa == want {
				k = h
			}
		}
		switch {
		case k != nil:
		case slices.Contains(isas, want):
			return nil, fmt.Errorf("EAFT_CPU=%s: this CPU does not have it; it has %v", want, names)
		default:
			return nil, fmt.Errorf("EAFT_CPU=%s is not known; this CPU has %v", want, names)
		}
	}
	return &Device{newEngine(k, threads)}, nil
}
