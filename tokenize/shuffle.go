package tokenize

import (
	"bufio"
	"container/heap"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// shuffler puts records into an order that depends on the seed and their numbers
// alone, in bounded memory: runs are sorted and written to a temporary file, and
// merged from there.
type shuffler struct {
	seed  uint64
	spool *os.File
	runs  []run64
	keys  []shuffled
	arena []byte
	size  int64
}

// run64 is a sorted run in the spool: bytes [lo, hi).
type run64 struct{ lo, hi int64 }

// shuffled is a record of the run at hand: its place in the order, and its bytes
// in the arena.
type shuffled struct {
	place  uint64
	lo, hi int
}

// runBytes is how much is sorted in memory at a time, mergeBytes what the
// buffers of all runs may take.
const (
	runBytes   = 24 << 20
	mergeBytes = 32 << 20
)

func newShuffler(seed uint64, dir string) (*shuffler, error) {
	f, err := createSpool(dir)
	return &shuffler{seed: mix(seed), spool: f}, err
}

// mix is the finalizer of splitmix64: a bijection, so no two records of one
// corpus have the same place.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// add takes record number n.
func (s *shuffler) add(n uint64, source int, row int64, key, raw []byte) error {
	lo := len(s.arena)
	s.arena = binary.AppendUvarint(s.arena, uint64(source))
	s.arena = binary.AppendUvarint(s.arena, uint64(row))
	s.arena = binary.AppendUvarint(s.arena, uint64(len(key)))
	s.arena = append(append(s.arena, key...), raw...)
	s.keys = append(s.keys, shuffled{mix(s.seed ^ n), lo, len(s.arena)})
	if len(s.arena) < runBytes {
		return nil
	}
	return s.flush()
}

func (s *shuffler) flush() error {
	slices.SortFunc(s.keys, func(a, b shuffled) int {
		if a.place < b.place {
			return -1
		}
		return 1
	})
	w := bufio.NewWriterSize(s.spool, 1<<18)
	lo := s.size
	var head, sum []byte
	for _, k := range s.keys {
		head = appendHead(head[:0], k.place, k.hi-k.lo)
		sum = binary.LittleEndian.AppendUint32(sum[:0], checksum(head, s.arena[k.lo:k.hi]))
		w.Write(head)
		w.Write(s.arena[k.lo:k.hi])
		w.Write(sum)
		s.size += int64(len(head) + k.hi - k.lo + len(sum))
	}
	s.runs = append(s.runs, run64{lo, s.size})
	s.keys = s.keys[:0]
	if s.arena = s.arena[:0]; cap(s.arena) > 2*runBytes {
		s.arena = nil
	}
	return w.Flush()
}

// appendHead begins a record in the spool: its place and how many bytes it has,
// which follow, and their checksum after them.
func appendHead(b []byte, place uint64, size int) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(b, place), uint64(size))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum of parts of a file that is read back later, one after the other.
func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// errSpool is a spool that is not as it was written.
var errSpool = errors.New("the temporary file of --shuffle has changed on its disk; run again")

// cursor reads one run.
type cursor struct {
	r      *bufio.Reader
	length int64 // of the run
	head   []byte
	place  uint64
	size   int
}

// next reads the head of the next record; io.EOF after the last one.
func (c *cursor) next() error {
	var b [8]byte
	if _, err := io.ReadFull(c.r, b[:]); errors.Is(err, io.ErrUnexpectedEOF) {
		return errSpool
	} else if err != nil {
		return err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil || n > uint64(c.length) {
		return errSpool
	}
	c.place, c.size = binary.LittleEndian.Uint64(b[:]), int(n)
	c.head = appendHead(c.head[:0], c.place, c.size)
	return nil
}

// record reads the bytes of the record whose head was read, into buf.
func (c *cursor) record(buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], c.size+crc32.Size)[:c.size+crc32.Size]
	if _, err := io.ReadFull(c.r, buf); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errSpool
	} else if err != nil {
		return nil, err
	}
	if checksum(c.head, buf[:c.size]) != binary.LittleEndian.Uint32(buf[c.size:]) {
		return nil, errSpool
	}
	return buf[:c.size], nil
}

type cursors []*cursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return c[i].place < c[j].place }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)        { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// each calls f with the records in their order; the bytes are f's until it
// returns.
func (s *shuffler) each(f func(source int, row int64, key, raw []byte) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.arena, s.keys = nil, nil
	var merge cursors
	for _, run := range s.runs {
		size := min(1<<18, max(1<<12, mergeBytes/len(s.runs)))
		c := &cursor{r: bufio.NewReaderSize(io.NewSectionReader(s.spool, run.lo, run.hi-run.lo), size), length: run.hi - run.lo}
		if err := c.next(); err == io.EOF {
			continue // a run of nothing
		} else if err != nil {
			return err
		}
		merge = append(merge, c)
	}
	heap.Init(&merge)
	var buf []byte
	for len(merge) > 0 {
		c := merge[0]
		var err error
		if buf, err = c.record(buf); err != nil {
			return err
		}
		source, a := binary.Uvarint(buf)
		row, b := binary.Uvarint(buf[a:])
		n, k := binary.Uvarint(buf[a+b:])
		key := buf[a+b+k:][:n]
		if err := f(int(source), int64(row), key, buf[a+b+k+int(n):]); err != nil {
			return err
		}
		if err := c.next(); err == io.EOF {
			heap.Pop(&merge)
		} else if err != nil {
			return err
		} else {
			heap.Fix(&merge, 0)
		}
	}
	return nil
}

func (s *shuffler) close() {
	s.spool.Close()
	os.Remove(s.spool.Name())
}
