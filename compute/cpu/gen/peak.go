package main

// peakKernels writes loops that give the machine's limits: multiply-adds in
// registers, as many sums as hide their latency, and a stream of loads.
func peakKernels() {
	header()
	for _, s := range sets {
		sums, a, b := 28, 28, 30
		if s.r == "Y" {
			sums, a, b = 12, 12, 14
		}
		p("\n// func peak%s(n int)\nTEXT ·peak%s(SB), NOSPLIT, $0-8\n\tMOVQ n+0(FP), CX", s.name, s.name)
		for i := range b + 2 {
			s.zero(i)
		}
		p("\tPCALIGN $64\nloop:")
		for i := range sums {
			p("\tVFMADD231PS %s%d, %s%d, %s%d", s.r, a+i%2, s.r, b+i/2%2, s.r, i)
		}
		p("\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")

		p("\n// func read%s(x *float32, blocks int)\nTEXT ·read%s(SB), NOSPLIT, $0-16", s.name, s.name)
		p("\tMOVQ x+0(FP), SI\n\tMOVQ blocks+8(FP), CX\n\tPCALIGN $64\nloop:")
		for at := 0; at < 512; at += s.bytes {
			p("\tVMOVUPS %d(SI), %s%d", at, s.r, at/s.bytes%8)
		}
		p("\tADDQ $512, SI\n\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
	}
	save("peak_amd64.s")
}
