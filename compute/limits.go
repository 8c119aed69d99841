package compute

// Limits is what a device may say of its machine, measured when it is asked:
// what the speed of an operation is held against.
type Limits interface {
	// Threads is how many run an operation.
	Threads() int
	// Peak is the fastest instruction that the products of dtype use, and how many
	// floating-point operations a second all threads at once get out of it, with
	// two for each multiply-add, operands in registers.
	Peak(dtype DType) (instruction string, flops float64)
	// Bandwidth is how many bytes a second all threads at once read from a buffer
	// of the given size, which is larger than the caches.
	Bandwidth() (bytesPerSecond float64, buffer int)
}
