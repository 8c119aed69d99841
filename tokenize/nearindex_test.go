package tokenize

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
)

// mapIndex is the index as one would write it first: everything in memory.
type mapIndex struct {
	n          *nearIndex // bands and threshold
	signatures []*signature
	rows       map[[33]uint32][]int // by band and its values, ascending
}

func (m *mapIndex) key(s *signature, b int) (k [33]uint32) {
	k[32] = uint32(b)
	copy(k[:], s.band(b, m.n.rows))
	return k
}

func (m *mapIndex) find(s *signature) (best int, similarity float64) {
	best = -1
	for b := range m.n.bands {
		rows := m.rows[m.key(s, b)]
		for _, i := range rows[max(0, len(rows)-maxCandidates):] {
			if sim := s.similarity(m.signatures[i]); sim >= m.n.threshold && (best < 0 || i < best) {
				best, similarity = i, sim
			}
		}
	}
	return best, similarity
}

func (m *mapIndex) add(s *signature) {
	for b := range m.n.bands {
		k := m.key(s, b)
		m.rows[k] = append(m.rows[k], len(m.signatures))
	}
	m.signatures = append(m.signatures, s)
}

// drawn is a signature that shares some of its bands, and of those many with
// others: its values come from few.
func drawn(rng *rand.Rand, threshold float64) *signature {
	family := rng.IntN(4)
	s := &signature{}
	for i := range s {
		s[i] = rng.Uint32()
		if rng.Float64() < threshold-0.05+0.15*float64(family) {
			s[i] = uint32(family*1000 + i)
		}
	}
	return s
}

// The same rows are found as by an index in memory, chains longer than
// maxCandidates and signatures on both sides of the spool included.
func TestNearIndex(t *testing.T) {
	for _, threshold := range []float64{0.3, 0.8, 1} {
		n, err := newNearIndex(threshold, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		m := &mapIndex{n: n, rows: map[[33]uint32][]int{}}
		rng := rand.New(rand.NewPCG(7, 8))
		found, bands := 0, 0
		for i := range 2400 {
			s := drawn(rng, threshold)
			if i%50 == 7 {
				s = m.signatures[rng.IntN(len(m.signatures))]
			}
			place, similarity, ok, err := n.find(s)
			if err != nil {
				t.Fatal(err)
			}
			best, want := m.find(s)
			if ok != (best >= 0) || ok && (place != int64(10*best) || similarity != want) {
				t.Fatalf("threshold %v, row %d: place %d, similarity %v, %v; in memory row %d, %v", threshold, i, place, similarity, ok, best, want)
			}
			if ok {
				found++
			}
			// What is found is added too, which makes the chains long.
			if err := n.add(s, int64(10*i)); err != nil {
				t.Fatal(err)
			}
			m.add(s)
		}
		for _, rows := range m.rows {
			bands = max(bands, len(rows))
		}
		if found < 100 || found == 2400 || n.spooled == 0 || threshold < 0.9 && bands <= maxCandidates {
			t.Errorf("threshold %v: %d found, %d of the signatures spooled, at most %d rows of a band: not what this test is for", threshold, found, n.spooled, bands)
		}
		spool := n.spool.Name()
		n.close()
		if _, err := os.Stat(spool); !os.IsNotExist(err) {
			t.Errorf("the spool is left: %v", err)
		}
	}
}

// A bit of a spooled signature, or of its checksum, that flips on the disk is an error,
// for whichever row asks for it.
func TestNearIndexDamaged(t *testing.T) {
	n, err := newNearIndex(0.8, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	rng := rand.New(rand.NewPCG(3, 4))
	var all []*signature
	for n.spooled == 0 {
		s := &signature{}
		for i := range s {
			s[i] = rng.Uint32()
		}
		all = append(all, s)
		if err := n.add(s, int64(len(all)-1)); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		row, bit := rng.IntN(len(all)), rng.IntN(8*spooledSize)
		at := int64(row*spooledSize + bit/8)
		flip := func() {
			var b [1]byte
			if _, err := n.spool.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1 << (bit % 8)
			if _, err := n.spool.WriteAt(b[:], at); err != nil {
				t.Fatal(err)
			}
		}
		find := func() (int64, bool, error) {
			clear(n.cache)
			place, _, ok, err := n.find(all[row])
			return place, ok, err
		}
		flip()
		if _, _, err := find(); !errors.Is(err, errSignatures) {
			t.Fatalf("bit %d of row %d: %v", bit, row, err)
		}
		flip()
		if place, ok, err := find(); err != nil || !ok || place != int64(row) {
			t.Fatalf("row %d, mended: %d, %v, %v", row, place, ok, err)
		}
	}
}

// A row takes less than 300 bytes of memory.
func TestNearIndexMemory(t *testing.T) {
	n, err := newNearIndex(0.8, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	rng := rand.New(rand.NewPCG(1, 2))
	const rows = 100_000
	s := &signature{}
	for i := range rows {
		for j := range s {
			s[j] = rng.Uint32()
		}
		if err := n.add(s, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	took := (heap() - before) / rows
	t.Logf("%d bytes a row", took)
	if took > 300 {
		t.Errorf("%d bytes a row", took)
	}
	runtime.KeepAlive(n)
}
