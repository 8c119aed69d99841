package cpu

import (
	"testing"

	"eaft/compute"
)

// Every instruction set has its loop, and a wider one is not slower.
func TestPeak(t *testing.T) {
	for _, k := range available() {
		for _, dtype := range []compute.DType{compute.F32, compute.BF16} {
			loop := peakLoopOf(k, dtype)
			loop.run(3)
			if (k.isa == "generic") != (loop.instruction == peakScalar.instruction) || loop.flops <= 0 {
				t.Errorf("%s %v: %s, %d operations", k.isa, dtype, loop.instruction, loop.flops)
			}
		}
		readLoopOf(k)(make([]float32, 2*readBlock), 2)
	}
	d := &Device{newEngine(portable[float32](), 2)}
	if _, flops := d.Peak(compute.F32); !(flops > 1e7) {
		t.Errorf("peak of %g operations a second", flops)
	}
}
