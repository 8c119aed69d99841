package bound

import "testing"

var sink []byte

// recorder is a test whose end and failure can be seen.
type recorder struct {
	testing.TB
	end    func()
	failed bool
}

func (r *recorder) Cleanup(f func())      { r.end = f }
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestMemory(t *testing.T) {
	for size, want := range map[int]bool{1 << 20: false, fixed + 2*perByte: false, fixed + 4*perByte: true} {
		r := &recorder{TB: t}
		Memory(r, 3)
		sink = make([]byte, size)
		r.end()
		if r.failed != want {
			t.Errorf("%d bytes: failed is %v", size, r.failed)
		}
	}
	sink = nil
}
