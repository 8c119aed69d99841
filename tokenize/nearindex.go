package tokenize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
)

// nearIndex finds, among the signatures added, one that is similar enough. It
// holds about 240 bytes of a row, at a similarity of 0.8; the signatures, of
// which few are ever compared, lie in a temporary file.
type nearIndex struct {
	threshold float64
	bands     int
	rows      int // of a band
	places    []int64
	tables    []bandTable // by band
	chains    chains
	spool     *os.File
	tail      []byte // what is not in the spool yet
	spooled   int32  // signatures in the spool
	cache     []cached
	buf       [spooledSize]byte
}

// spooledSize is a signature and its checksum.
const spooledSize = 4*signatureSize + crc32.Size

// errSignatures is a spool that is not as it was written.
var errSignatures = errors.New("the temporary file of --dedup near has changed on its disk; run again")

// maxCandidates bounds how many signatures that share a band are compared.
const maxCandidates = 256

// spoolBytes is how much is written to the spool at once; cacheRows how many
// signatures that came from there are kept.
const (
	spoolBytes = 1 << 18
	cacheRows  = 4096
)

// newNearIndex bands as widely as leaves 99% of the pairs at the threshold, which
// is 0.3 at least, in a common band. The spool lies in dir, or where temporary files go if dir is in
// a bucket.
func newNearIndex(threshold float64, dir string) (*nearIndex, error) {
	n := &nearIndex{threshold: threshold, cache: make([]cached, cacheRows)}
	for rows := signatureSize / maxBands; rows <= 32; rows++ {
		bands := signatureSize / rows
		if n.bands > 0 && 1-math.Pow(1-math.Pow(threshold, float64(rows)), float64(bands)) < 0.99 {
			break
		}
		n.bands, n.rows = bands, rows
	}
	n.tables = make([]bandTable, n.bands)
	var err error
	n.spool, err = createSpool(dir)
	return n, err
}

func (n *nearIndex) close() {
	n.spool.Close()
	os.Remove(n.spool.Name())
}

// hash of band b of a signature.
func (n *nearIndex) hash(s *signature, b int) uint32 {
	x := uint64(b)
	for _, v := range s.band(b, n.rows) {
		x = mix(x ^ uint64(v))
	}
	return uint32(x >> 32)
}

func (s *signature) band(b, rows int) []uint32 { return s[b*rows : (b+1)*rows] }

// find is the place and similarity of the first row added that is at least as
// similar as the threshold asks; ok is false for none.
func (n *nearIndex) find(s *signature) (place int64, similarity float64, ok bool, err error) {
	best := int32(-1)
	for b := range n.bands {
		at := n.tables[b].last(n.hash(s, b))
		for candidates := 0; at >= 0 && candidates < maxCandidates; at = n.chains.before(at, b) {
			o, err := n.signature(at)
			if err != nil {
				return 0, 0, false, err
			}
			if !slices.Equal(o.band(b, n.rows), s.band(b, n.rows)) {
				continue // another band of the same hash
			}
			candidates++
			if best < 0 || at < best {
				if sim := s.similarity(o); sim >= n.threshold {
					best, similarity = at, sim
				}
			}
		}
	}
	if best < 0 {
		return 0, 0, false, nil
	}
	return n.places[best], similarity, true, nil
}

func (n *nearIndex) add(s *signature, place int64) error {
	i := int32(len(n.places))
	n.places = append(n.places, place)
	n.chains.begin()
	for b := range n.bands {
		if at := n.tables[b].put(n.hash(s, b)); at >= 0 {
			n.chains.add(b, at)
		}
	}
	lo := len(n.tail)
	for _, v := range s {
		n.tail = binary.LittleEndian.AppendUint32(n.tail, v)
	}
	n.tail = binary.LittleEndian.AppendUint32(n.tail, checksum(n.tail[lo:]))
	if len(n.tail) < spoolBytes {
		return nil
	}
	if _, err := n.spool.Write(n.tail); err != nil {
		return fmt.Errorf("signatures of rows, for near duplicates: %w", err)
	}
	n.tail, n.spooled = n.tail[:0], i+1
	return nil
}

// cached is a signature that was read lately.
type cached struct {
	row int32 // one more than its number
	signature
}

// signature of row i, valid until the next call.
func (n *nearIndex) signature(i int32) (*signature, error) {
	c := &n.cache[i%cacheRows]
	if c.row == i+1 {
		return &c.signature, nil
	}
	b := n.buf[:]
	if i >= n.spooled {
		copy(b, n.tail[int(i-n.spooled)*len(b):])
	} else if _, err := n.spool.ReadAt(b, int64(i)*int64(len(b))); err != nil {
		return nil, fmt.Errorf("signatures of rows, for near duplicates: %w", err)
	}
	data, sum := b[:4*signatureSize], b[4*signatureSize:]
	if checksum(data) != binary.LittleEndian.Uint32(sum) {
		return nil, errSignatures
	}
	c.row = i + 1
	for j := range c.signature {
		c.signature[j] = binary.LittleEndian.Uint32(data[4*j:])
	}
	return &c.signature, nil
}
