package cpu

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// A product of 150 us is over before a parked goroutine wakes (5-50 us in a
// virtual machine), so helpers look for more work for this long before they park.
const spin = 100 * time.Microsecond

// pool runs the tasks of one operation on a fixed number of goroutines. Which
// goroutine runs a task never matters: a task owns the elements that it writes.
type pool struct {
	threads int
	mu      sync.Mutex
	helpers []*helper
}

// helper waits for a job: first looking, then parked on wake.
type helper struct {
	job    atomic.Pointer[job]
	parked atomic.Bool
	wake   chan struct{}
}

// job is n tasks, cut into a range for each worker: one operation after another
// finds the same rows in the same core's cache. Who is done takes from the others.
type job struct {
	ranges []taskRange
	busy   atomic.Int64 // helpers that have not finished
	f      func(int)
}

type taskRange struct {
	next atomic.Int64
	end  int64
	_    [48]byte // a cache line of its own
}

func (j *job) work(worker int) {
	for i := range j.ranges {
		r := &j.ranges[(worker+i)%len(j.ranges)]
		for task := r.next.Add(1) - 1; task < r.end; task = r.next.Add(1) - 1 {
			j.f(int(task))
		}
	}
}

func (h *helper) run(worker int) {
	for idle := time.Now(); ; {
		if j := h.job.Swap(nil); j != nil {
			j.work(worker)
			j.busy.Add(-1)
			idle = time.Now()
		} else if time.Since(idle) > spin {
			h.parked.Store(true)
			if h.job.Load() == nil || !h.parked.CompareAndSwap(true, false) {
				<-h.wake
			}
			idle = time.Now()
		}
	}
}

// run calls f(0) ... f(n-1), the caller's goroutine included. f must not call run.
func (p *pool) run(n int, f func(int)) {
	if n <= 0 {
		return
	}
	helpers := min(p.threads, n) - 1
	if helpers <= 0 {
		for i := range n {
			f(i)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.helpers) < helpers {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go h.run(len(p.helpers))
	}
	j := &job{ranges: make([]taskRange, helpers+1), f: f}
	for i := range j.ranges {
		j.ranges[i].next.Store(int64(i * n / len(j.ranges)))
		j.ranges[i].end = int64((i + 1) * n / len(j.ranges))
	}
	j.busy.Store(int64(helpers))
	for _, h := range p.helpers[:helpers] {
		h.job.Store(j)
		if h.parked.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	j.work(0)
	for _, h := range p.helpers[:helpers] {
		if h.job.CompareAndSwap(j, nil) { // one that has not started is not waited for
			j.busy.Add(-1)
		}
	}
	for j.busy.Load() > 0 { // at most one task long
	}
}

const (
	spanChunk   = 1 << 14 // elements of one task of an element-wise operation
	columnChunk = 64      // columns of one task where rows are summed in order
)

// chunks calls f on [0, n) cut at multiples of size.
func (e *engine[F]) chunks(n, size int, f func(lo, hi int)) {
	e.pool.run((n+size-1)/size, func(i int) { f(i*size, min(n, (i+1)*size)) })
}

// spans is chunks for element-wise operations.
func (e *engine[F]) spans(n int, f func(lo, hi int)) { e.chunks(n, spanChunk, f) }

// rowsOf is chunks for operations on whole rows of the given width.
func (e *engine[F]) rowsOf(rows, width int, f func(i int)) {
	e.chunks(rows, max(1, spanChunk/max(1, width)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i)
		}
	})
}

// buffers lends slices of unspecified content, so that a step allocates once.
type buffers[F real] struct{ free lending[F] }

func (b *buffers[F]) get(n int) []F {
	if v, ok := b.free.take(n); ok {
		return v
	}
	return allocate[F](lent(n))[:n]
}

func (b *buffers[F]) put(v []F) { b.free.give(v) }

// halfBuffers is buffers of bfloat16 that start on a cache line.
type halfBuffers struct{ free lending[uint16] }

func (b *halfBuffers) get(n int) []uint16 {
	if v, ok := b.free.take(n); ok {
		return v
	}
	return newHalf(lent(n))[:n]
}

func (b *halfBuffers) put(v []uint16) { b.free.give(v) }

// lending keeps slices by size: a small request must not use up a large slice.
// Large ones are kept for good, because one that the garbage collector takes is
// faulted in again page by page; small ones, which are asked for row by row, lie
// in a sync.Pool, which has no lock.
type lending[T any] struct {
	small [256]sync.Pool
	mu    sync.Mutex
	large [256][][]T
}

const lendSmall = 1 << 16 // elements

// lent is the capacity lent for n: at most a quarter more.
func lent(n int) int {
	n = max(n, 16)
	unit := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + unit - 1) / unit * unit
}

// class is the same for all n of one lent(n).
func class(lent int) int {
	top := bits.Len(uint(lent - 1))
	return top*4 + (lent-1)>>(top-3)&3
}

func (l *lending[T]) take(n int) ([]T, bool) {
	size := lent(n)
	if size <= lendSmall {
		if v, ok := l.small[class(size)].Get().(*T); ok {
			return unsafe.Slice(v, size)[:n], true
		}
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	free := &l.large[class(size)]
	last := len(*free) - 1
	if last < 0 {
		return nil, false
	}
	v := (*free)[last]
	*free = (*free)[:last]
	return v[:n], true
}

func (l *lending[T]) give(v []T) {
	size := cap(v)
	if size <= lendSmall {
		l.small[class(size)].Put(unsafe.SliceData(v)) // a pointer: nothing to allocate
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	free := &l.large[class(size)]
	*free = append(*free, v[:size])
}
