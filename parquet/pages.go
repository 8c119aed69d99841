package parquet

import (
	"errors"
	"fmt"
	"io"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Bounds of one page. Writers aim at about a megabyte; the bounds keep a corrupt
// or hostile header from claiming the memory.
const (
	maxPageBytes  = 256 << 20 // uncompressed
	maxPageValues = 64 << 20
	maxHeader     = 16 << 20
)

// checkChunk walks the pages of a leaf's column chunk before the library, which
// allocates what they announce, reads them.
func checkChunk(r io.ReaderAt, size int64, leaf *pq.Column, meta *format.ColumnMetaData) error {
	switch meta.Codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd, format.Brotli:
	default:
		return fmt.Errorf("compression %s is not supported; write the file with zstd", meta.Codec)
	}
	at := meta.DataPageOffset
	if d := meta.DictionaryPageOffset; d > 0 {
		at = d
	}
	end := at + meta.TotalCompressedSize
	if at < 4 || end < at || end > size {
		return fmt.Errorf("bytes %d to %d in a file of %d", at, end, size)
	}
	runs := newRunChecker(leaf, meta.Codec)
	defer runs.close()
	for left := meta.NumValues; at < end && left > 0; {
		var h format.PageHeader
		n, err := pageHeader(r, at, end, &h)
		if err != nil {
			return fmt.Errorf("page header at byte %d: %w", at, err)
		}
		body := at + n
		at = body + int64(h.CompressedPageSize)
		if h.CompressedPageSize < 0 || at > end {
			return fmt.Errorf("a page of %d bytes ends after its column", h.CompressedPageSize)
		}
		if h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPageBytes {
			return fmt.Errorf("a page of %d bytes uncompressed; at most %d are read: write smaller pages", h.UncompressedPageSize, maxPageBytes)
		}
		if meta.Codec == format.Uncompressed && h.UncompressedPageSize != h.CompressedPageSize {
			return fmt.Errorf("an uncompressed page of %d bytes in %d", h.UncompressedPageSize, h.CompressedPageSize)
		}
		var values, levels int64
		switch {
		case h.DictionaryPageHeader.Valid:
			if v := h.DictionaryPageHeader.V.NumValues; v < 0 || v > maxPageValues || v > h.UncompressedPageSize {
				return fmt.Errorf("a dictionary of %d values in %d bytes", v, h.UncompressedPageSize)
			}
		case h.DataPageHeader.Valid:
			values = int64(h.DataPageHeader.V.NumValues)
		case h.DataPageHeaderV2.Valid:
			v2 := &h.DataPageHeaderV2.V
			values = int64(v2.NumValues)
			levels = int64(v2.RepetitionLevelsByteLength) + int64(v2.DefinitionLevelsByteLength)
			if v2.NumNulls < 0 || int64(v2.NumNulls) > values || v2.RepetitionLevelsByteLength < 0 || v2.DefinitionLevelsByteLength < 0 ||
				levels > int64(h.CompressedPageSize) || levels > int64(h.UncompressedPageSize) {
				return errors.New("a page whose levels exceed it")
			}
		}
		if values < 0 || values > maxPageValues || values > left {
			return fmt.Errorf("a page of %d values where %d are left of the column", values, left)
		}
		left -= values
		if h.DataPageHeader.Valid || h.DataPageHeaderV2.Valid {
			if err := runs.check(r, body, &h); err != nil {
				return fmt.Errorf("page at byte %d: %w", body, err)
			}
		}
	}
	return nil
}

// pageHeader decodes the header at byte at of r, which ends before end, and
// returns its length.
func pageHeader(r io.ReaderAt, at, end int64, h *format.PageHeader) (int64, error) {
	for window := int64(1 << 10); ; window *= 8 {
		b := make([]byte, min(window, end-at))
		if _, err := r.ReadAt(b, at); err != nil {
			return 0, err
		}
		w := thriftWalk{b: b}
		err := w.structure(0)
		if errors.Is(err, errThrift) && int64(len(b)) < end-at && window < maxHeader {
			continue // statistics can make it long
		}
		if err != nil {
			return 0, err
		}
		n := len(b) - len(w.b)
		return int64(n), thrift.Unmarshal(&thrift.CompactProtocol{}, b[:n], h)
	}
}
