package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// The encodings of levels, of indexes into a dictionary and of differences say
// how many values a few bytes stand for, 2^31 - 1 at most, and the Parquet
// library makes room for as many without asking how many the page has. Here
// they are walked before.

// runChecker checks the pages of one leaf.
type runChecker struct {
	rep, def uint // bits of a level; 0: the column has none
	codec    format.CompressionCodec
	zstd     *zstd.Decoder
	page     []byte
	data     []byte
}

func newRunChecker(leaf *pq.Column, codec format.CompressionCodec) *runChecker {
	return &runChecker{
		rep:   uint(bits.Len(uint(leaf.MaxRepetitionLevel()))),
		def:   uint(bits.Len(uint(leaf.MaxDefinitionLevel()))),
		codec: codec,
	}
}

func (c *runChecker) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// check walks the data page whose body begins at byte at of r.
func (c *runChecker) check(r io.ReaderAt, at int64, h *format.PageHeader) error {
	if h.CompressedPageSize == 0 {
		return nil
	}
	if cap(c.page) < int(h.CompressedPageSize) {
		c.page = make([]byte, h.CompressedPageSize)
	}
	body := c.page[:h.CompressedPageSize]
	if h.DataPageHeaderV2.Valid {
		v2 := &h.DataPageHeaderV2.V
		rep, def := int(v2.RepetitionLevelsByteLength), int(v2.DefinitionLevelsByteLength)
		values := int64(v2.NumValues)
		if !walked(v2.Encoding) { // the levels are not compressed, and all that is needed
			body = body[:rep+def]
		}
		if _, err := r.ReadAt(body, at); err != nil {
			return err
		}
		if err := c.levels(body[:rep], body[rep:rep+def], values); err != nil || !walked(v2.Encoding) {
			return err
		}
		data, err := body[rep+def:], error(nil)
		if !v2.IsCompressed.Valid || v2.IsCompressed.V {
			if data, err = c.decompress(data, int(h.UncompressedPageSize)-rep-def, v2.Encoding); err != nil {
				return err
			}
		}
		return checkValues(data, values, v2.Encoding)
	}
	v1 := &h.DataPageHeader.V
	values := int64(v1.NumValues)
	if c.rep == 0 && c.def == 0 && !walked(v1.Encoding) {
		return nil
	}
	if _, err := r.ReadAt(body, at); err != nil {
		return err
	}
	data, err := c.decompress(body, int(h.UncompressedPageSize), format.RLE)
	if err != nil {
		return err
	}
	var levels [2][]byte
	for i, l := range []struct {
		bits     uint
		encoding format.Encoding
	}{{c.rep, v1.RepetitionLevelEncoding}, {c.def, v1.DefinitionLevelEncoding}} {
		if l.bits == 0 {
			continue
		}
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return errors.New("levels that exceed their page")
		}
		n := 4 + int(binary.LittleEndian.Uint32(data))
		if l.encoding == format.RLE { // a bit-packed level has its bits
			levels[i] = data[4:n]
		}
		data = data[n:]
	}
	if err := c.levels(levels[0], levels[1], values); err != nil {
		return err
	}
	return checkValues(data, values, v1.Encoding)
}

func (c *runChecker) levels(rep, def []byte, values int64) error {
	if c.rep > 0 {
		if err := checkRuns(rep, c.rep, values); err != nil {
			return fmt.Errorf("repetition levels: %w", err)
		}
	}
	if c.def > 0 {
		if err := checkRuns(def, c.def, values); err != nil {
			return fmt.Errorf("definition levels: %w", err)
		}
	}
	return nil
}

// plainDictionary is what old writers call RLEDictionary.
const plainDictionary format.Encoding = 2

// walked says whether values of an encoding are checked.
func walked(e format.Encoding) bool {
	switch e {
	case plainDictionary, format.RLEDictionary, format.RLE, format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray:
		return true
	}
	return false
}

// checkValues checks the values of a page, or as many of their bytes as
// decompress found necessary.
func checkValues(b []byte, values int64, e format.Encoding) error {
	switch e {
	case plainDictionary, format.RLEDictionary:
		if len(b) == 0 {
			return nil
		}
		return checkRuns(b[1:], uint(b[0]), values)
	case format.RLE: // booleans, whose length comes first
		if len(b) < 4 {
			return nil
		}
		return checkRuns(b[4:], 1, values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		_, _, err := deltaHeader(b, values)
		return err
	case format.DeltaByteArray: // lengths of prefixes, then of what follows them
		rest, err := skipDelta(b, values)
		if err == nil {
			_, _, err = deltaHeader(rest, values)
		}
		return err
	}
	return nil
}

// decompress returns the whole body of a page, or its first bytes where those
// will do.
func (c *runChecker) decompress(b []byte, size int, e format.Encoding) (data []byte, err error) {
	switch c.codec {
	case format.Uncompressed:
		return b, nil
	case format.Zstd:
		if c.zstd == nil {
			if c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPageBytes)); err != nil {
				return nil, err
			}
		}
		if e == format.DeltaBinaryPacked || e == format.DeltaLengthByteArray {
			if err := c.zstd.Reset(bytes.NewReader(b)); err != nil {
				return nil, err
			}
			c.data = append(c.data[:0], make([]byte, min(size, deltaHeaderBytes))...)
			_, err = io.ReadFull(c.zstd, c.data)
			return c.data, err
		}
		c.data, err = c.zstd.DecodeAll(b, c.data[:0])
	case format.Snappy:
		if n, err := s2.DecodedLen(b); err != nil || n != size {
			return nil, fmt.Errorf("a compressed page says that it holds %d bytes, its header %d", n, size)
		}
		fallthrough
	default:
		c.data, err = pq.LookupCompressionCodec(c.codec).Decode(c.data[:0], b)
	}
	if err == nil && len(c.data) != size {
		err = fmt.Errorf("a page of %d bytes where its header says %d", len(c.data), size)
	}
	return c.data, err
}

// checkRuns walks the hybrid of runs and bit-packed values of the given width.
// Of runs there are at most as many as the page has values, give or take a byte
// of them for booleans.
func checkRuns(b []byte, width uint, values int64) error {
	left := uint64(values) + 7
	for len(b) > 0 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("a run without its length")
		}
		b = b[n:]
		count, bytes := u>>1, uint64(width+7)/8
		if u&1 != 0 { // bit-packed, by eight
			if bytes = count * uint64(width); count > uint64(len(b)) {
				bytes = uint64(len(b)) + 1
			}
		} else if count > left {
			return fmt.Errorf("a run of %d in a page of %d values", count, values)
		} else {
			left -= count
		}
		if bytes > uint64(len(b)) {
			return nil // the library says what is missing
		}
		b = b[bytes:]
	}
	return nil
}

// deltaHeaderBytes is the most that the four numbers of a header take.
const deltaHeaderBytes = 4 * binary.MaxVarintLen64

// deltaHeader reads the head of differences, which are of at most so many
// values: size of a block, its parts, number of values, first value.
func deltaHeader(b []byte, values int64) (head [4]uint64, rest []byte, err error) {
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return head, nil, nil // the library says what is missing
		}
		head[i], b = v, b[n:]
	}
	if head[2] > uint64(values) {
		return head, nil, fmt.Errorf("%d differences in a page of %d values", head[2], values)
	}
	return head, b, nil
}

// skipDelta returns what follows a list of differences.
func skipDelta(b []byte, values int64) (rest []byte, err error) {
	head, b, err := deltaHeader(b, values)
	block, parts := head[0], head[1]
	if err != nil || parts == 0 || parts > block || block > 1<<20 {
		return nil, err
	}
	for left := int64(head[2]) - 1; left > 0; {
		_, n := binary.Uvarint(b) // the least difference
		if n <= 0 || uint64(len(b)-n) < parts {
			return nil, nil
		}
		widths := b[n : n+int(parts)]
		b = b[n+int(parts):]
		for _, w := range widths {
			if left <= 0 {
				break
			}
			size := uint64(w) * (block / parts) / 8
			if size > uint64(len(b)) {
				return nil, nil
			}
			b = b[size:]
			left -= int64(block / parts)
		}
	}
	return b, nil
}
