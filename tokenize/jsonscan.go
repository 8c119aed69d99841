package tokenize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord bounds one record in bytes; beyond it the file is surely broken.
const maxRecord = 256 << 20

// scanner finds where JSON values begin and end in a stream, without decoding
// them, and holds one value at a time.
type scanner struct {
	r   io.Reader
	buf []byte
	lo  int   // first byte not consumed
	off int64 // of buf[0] in the stream
	err error // of the reader; io.EOF at the end
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: r, buf: make([]byte, 0, 1<<18)}
}

// at is the byte k after the consumed ones, reading on as needed; ok is false
// at the end of the stream or on an error.
func (s *scanner) at(k int) (b byte, ok bool) {
	for s.lo+k >= len(s.buf) {
		if s.err != nil {
			return 0, false
		}
		s.more()
	}
	return s.buf[s.lo+k], true
}

// more reads what the reader has; consumed bytes make room.
func (s *scanner) more() {
	if s.lo > 0 {
		n := copy(s.buf, s.buf[s.lo:])
		s.buf, s.off, s.lo = s.buf[:n], s.off+int64(s.lo), 0
	}
	if len(s.buf) == cap(s.buf) {
		if len(s.buf) > maxRecord {
			s.err = fmt.Errorf("a record is over %d MiB", maxRecord>>20)
			return
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)[:len(s.buf)]
	}
	for range 100 {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if err != nil {
			s.err = err
		}
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// space consumes white space and a byte order mark, and returns the next byte.
func (s *scanner) space() (b byte, ok bool) {
	for {
		b, ok := s.at(0)
		if !ok {
			return 0, false
		}
		switch b {
		case ' ', '\t', '\r', '\n':
			s.lo++
		case 0xEF:
			if s.off+int64(s.lo) != 0 || !s.is("\xEF\xBB\xBF") {
				return b, true
			}
			s.lo += 3
		default:
			return b, true
		}
	}
}

func (s *scanner) is(word string) bool {
	s.at(len(word) - 1)
	return bytes.HasPrefix(s.buf[s.lo:], []byte(word))
}

// line consumes a line; ok is false at the end of the stream. The bytes are
// valid until the next call.
func (s *scanner) line() (line []byte, ok bool) {
	for k := 0; ; {
		if i := bytes.IndexByte(s.buf[s.lo+k:], '\n'); i >= 0 {
			line = s.buf[s.lo : s.lo+k+i]
			s.lo += k + i + 1
			return line, true
		}
		k = len(s.buf) - s.lo
		if s.err != nil {
			line = s.buf[s.lo:]
			s.lo = len(s.buf)
			return line, len(line) > 0 && s.err == io.EOF
		}
		s.more()
	}
}

var errUnfinished = errors.New("the file ends within a value")

// value consumes one JSON value: everything through the bracket, quote or
// character that ends it. Whether it is well-formed inside is for the decoder.
func (s *scanner) value() ([]byte, error) {
	first, ok := s.space()
	if !ok {
		return nil, s.ended()
	}
	k := 0
	switch first {
	case '"':
		k = s.text(1)
	case '{', '[':
		depth := 1
		for k = 1; depth > 0; k++ {
			b, ok := s.at(k)
			if !ok {
				return nil, s.ended()
			}
			switch b {
			case '"':
				if k = s.text(k+1) - 1; k < 0 {
					return nil, s.ended()
				}
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
		}
	default:
		for ; ; k++ {
			b, ok := s.at(k)
			if !ok || bytes.IndexByte([]byte(" \t\r\n,:]}[{\""), b) >= 0 {
				break
			}
		}
		if k == 0 {
			return nil, fmt.Errorf("byte %d: %q where a value is needed", s.pos(), first)
		}
	}
	if k < 0 || s.err != nil && s.err != io.EOF {
		return nil, s.ended()
	}
	v := s.buf[s.lo : s.lo+k]
	s.lo += k
	return v, nil
}

// text is where the string ends whose first character is k after the consumed
// bytes; -1 if it does not.
func (s *scanner) text(k int) int {
	for {
		b, ok := s.at(k)
		switch {
		case !ok:
			return -1
		case b == '"':
			return k + 1
		case b == '\\':
			k++
		}
		k++
	}
}

func (s *scanner) pos() int64 { return s.off + int64(s.lo) }

func (s *scanner) ended() error {
	if s.err != nil && s.err != io.EOF {
		return s.err
	}
	return errUnfinished
}

// jsonShape is how a JSON file holds its records.
type jsonShape int

const (
	jsonLines jsonShape = iota
	jsonArray
	jsonKeyed // one object: a record for each key
)

// shape looks at the beginning of the file. One object is keyed by id when all
// its values that can be seen within the window are objects; otherwise it is
// the first of JSON Lines.
func (s *scanner) shape() (jsonShape, bool) {
	const window = 1 << 20
	first, ok := s.space()
	if !ok || first != '{' && first != '[' {
		return jsonLines, false
	}
	if first == '[' {
		return jsonArray, true
	}
	for s.err == nil && len(s.buf)-s.lo < window {
		if cap(s.buf) < window {
			s.buf = append(make([]byte, 0, 2*window), s.buf...)
		}
		s.more()
	}
	seen := &scanner{r: bytes.NewReader(nil), buf: bytes.Clone(s.buf[s.lo:])}
	seen.lo++
	for n := 0; ; n++ {
		if b, ok := seen.space(); ok && b == '}' {
			seen.lo++
			_, more := seen.space()
			return keyedIf(n > 0 && !more), true
		}
		if _, err := seen.value(); err != nil {
			return keyedIf(n > 0), true
		}
		if b, ok := seen.space(); !ok || b != ':' {
			return keyedIf(n > 0 && !ok), true
		}
		seen.lo++
		b, ok := seen.space()
		if !ok {
			return keyedIf(n > 0), true
		}
		if b != '{' {
			return jsonLines, true
		}
		if _, err := seen.value(); err != nil {
			return keyedIf(err == errUnfinished), true
		}
		if b, ok := seen.space(); ok && b == ',' {
			seen.lo++
		}
	}
}

func keyedIf(keyed bool) jsonShape {
	if keyed {
		return jsonKeyed
	}
	return jsonLines
}

// eachJSON calls f with every record of a JSON Lines file, of an array, or of an
// object, then with its key (as JSON).
func (s *scanner) eachJSON(shape jsonShape, f func(key, raw []byte) error) error {
	if shape == jsonLines {
		s.space()
		for n := int64(0); ; {
			line, ok := s.line()
			if !ok {
				if s.err != io.EOF {
					return fmt.Errorf("record %d: %w", n, s.err)
				}
				return nil
			}
			if line = bytes.TrimSpace(line); len(line) > 0 {
				if err := f(nil, line); err != nil {
					return err
				}
				n++
			}
		}
	}
	s.space()
	s.lo++
	shut := byte(']')
	if shape == jsonKeyed {
		shut = '}'
	}
	var key []byte
	for n := int64(0); ; n++ {
		b, ok := s.space()
		switch {
		case !ok:
			return fmt.Errorf("record %d: %w", n, s.ended())
		case b == shut:
			s.lo++
			if b, ok := s.space(); ok {
				return fmt.Errorf("byte %d: %q after the end of the JSON value that holds the records", s.pos(), b)
			}
			if s.err != io.EOF {
				return s.err
			}
			return nil
		case n > 0 && b != ',':
			return fmt.Errorf("record %d, byte %d: %q where a comma or %q is needed", n, s.pos(), b, shut)
		case n > 0:
			s.lo++
		}
		if shape == jsonKeyed {
			k, err := s.value()
			if err != nil {
				return fmt.Errorf("record %d: %w", n, err)
			}
			key = append(key[:0], k...)
			if b, ok := s.space(); !ok || b != ':' || key[0] != '"' {
				return fmt.Errorf("record %d, byte %d: a key and a colon are needed", n, s.pos())
			}
			s.lo++
		}
		raw, err := s.value()
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if err := f(key, raw); err != nil {
			return err
		}
	}
}
