//go:build !amd64

package cpu

// available lists the instruction sets of this CPU, the best one last.
func available() []*kernels[float32] {
	return []*kernels[float32]{portable[float32]()}
}
