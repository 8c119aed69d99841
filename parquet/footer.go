package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkFooter walks the footer of a Parquet file before the library decodes it.
// The library allocates what lengths in the footer announce; here every length
// must fit into the bytes that follow it. Layout: the file metadata in Thrift's
// compact protocol, its size (4 bytes, little endian), "PAR1".
func checkFooter(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return fmt.Errorf("only %d bytes", size)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("it does not end in PAR1; it is truncated, encrypted or no Parquet")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n > size-12 {
		return fmt.Errorf("a footer of %d bytes in a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return err
	}
	w := thriftWalk{b: footer}
	if err := w.structure(0); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	return nil
}

// thriftWalk skips over values of Thrift's compact protocol.
type thriftWalk struct{ b []byte }

var errThrift = errors.New("a length exceeds the bytes that are there")

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
	// thriftDepth bounds the recursion; Parquet's metadata nests less than ten deep.
	thriftDepth = 64
)

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.b)) {
		return errThrift
	}
	w.b = w.b[n:]
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if len(w.b) == 0 {
		return 0, errThrift
	}
	b := w.b[0]
	w.b = w.b[1:]
	return b, nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		return 0, errThrift
	}
	w.b = w.b[n:]
	return v, nil
}

// structure skips fields up to the stop byte.
func (w *thriftWalk) structure(depth int) error {
	if depth > thriftDepth {
		return errors.New("structures nest too deep")
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows in full
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if t := head & 15; t != thriftTrue && t != thriftFalse { // a boolean field is its type
			if err := w.value(t, depth); err != nil {
				return err
			}
		}
	}
}

func (w *thriftWalk) value(t byte, depth int) error {
	switch {
	case t == thriftTrue, t == thriftFalse, t == thriftByte:
		return w.skip(1)
	case t >= thriftI16 && t <= thriftI64:
		_, err := w.varint()
		return err
	case t == thriftDouble:
		return w.skip(8)
	case t == thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case t == thriftList, t == thriftSet:
		head, err := w.byte()
		if err != nil {
			return err
		}
		n := uint64(head >> 4)
		if n == 15 {
			if n, err = w.varint(); err != nil {
				return err
			}
		}
		return w.elements(n, depth, head&15)
	case t == thriftMap:
		n, err := w.varint()
		if err != nil || n == 0 {
			return err
		}
		types, err := w.byte()
		if err != nil {
			return err
		}
		return w.elements(n, depth, types>>4, types&15)
	case t == thriftStruct:
		return w.structure(depth + 1)
	case t == thriftUUID:
		return w.skip(16)
	}
	return fmt.Errorf("unknown type %d", t)
}

// elements skips n groups of values; each value takes at least one byte.
func (w *thriftWalk) elements(n uint64, depth int, types ...byte) error {
	if n > uint64(len(w.b)) {
		return errThrift
	}
	if depth > thriftDepth {
		return errors.New("lists nest too deep")
	}
	for range n {
		for _, t := range types {
			if err := w.value(t, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
