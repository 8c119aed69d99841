package parquet

import (
	"errors"
	"fmt"
	"io"
	"math"

	pq "github.com/parquet-go/parquet-go"

	"eaft/internal/store"
)

// file is an open Parquet file of any origin.
type file struct {
	path string
	f    *store.File
	size int64
	pq   *pq.File
}

func openFile(path string) (f *file, err error) {
	sf, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			sf.Close()
			f, err = nil, fmt.Errorf("%s: not a readable Parquet file: %w", path, err)
		}
	}()
	if !sf.Regular() {
		return nil, errors.New("not a regular file")
	}
	if err := checkFooter(sf, sf.Size()); err != nil {
		return nil, err
	}
	p, err := pq.OpenFile(sf, sf.Size(), pq.SkipPageIndex(true), pq.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	return &file{path: path, f: sf, size: sf.Size(), pq: p}, nil
}

func (f *file) close() error { return f.f.Close() }

// reader is what the readers of all schemas share.
type reader struct {
	*file
	own     Meta // empty if the file is not ours
	columns []*column
	row     int64
	err     error
}

func openReader(path string) (*reader, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	own, err := f.meta()
	if err != nil {
		f.close()
		return nil, err
	}
	return &reader{file: f, own: own}, nil
}

// scalar and list resolve a column; absent ones are nil, or an error if needed.
func (r *reader) scalar(name, what string, required bool, kinds ...pq.Kind) *column {
	return r.column(name, what, required, false, kinds)
}

func (r *reader) list(name, what string, required bool, kinds ...pq.Kind) *column {
	return r.column(name, what, required, true, kinds)
}

func (r *reader) column(name, what string, required, list bool, kinds []pq.Kind) *column {
	if r.err != nil {
		return nil
	}
	c, err := newColumn(r.file, name, list)
	if err == nil && c != nil {
		err = c.need(what, kinds...)
	}
	if err == nil && c == nil && required {
		err = fmt.Errorf("column %s is missing", name)
	}
	if err != nil {
		r.err = fmt.Errorf("%s: %w", r.path, err)
		return nil
	}
	if c != nil {
		c.nullOK = !required
		r.columns = append(r.columns, c)
	}
	return c
}

// ready ends the resolution of columns; on an error the file is closed.
func (r *reader) ready(recovered any) error {
	if recovered != nil {
		r.err = fmt.Errorf("%s: corrupt Parquet schema: %v", r.path, recovered)
	}
	if r.err != nil {
		r.Close()
	}
	return r.err
}

// NumRows is the number of rows that the footer announces.
func (r *reader) NumRows() int64 { return r.pq.NumRows() }

// Close releases the file. It may be called more than once.
func (r *reader) Close() error {
	if r.f == nil {
		return nil
	}
	for _, c := range r.columns {
		c.close()
	}
	err := r.close()
	r.f = nil
	return err
}

// next runs read for one row, at the end returns io.EOF, and turns whatever a
// corrupt file does to the Parquet library into an error that names the row.
func (r *reader) next(read func() error) (err error) {
	if r.err != nil {
		return r.err
	}
	if r.row >= r.NumRows() {
		return io.EOF
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("corrupt data: %v", p)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the file ends before its last row")
			}
			err = fmt.Errorf("%s: row %d: %w", r.path, r.row, err)
			r.err = err
			return
		}
		r.row++
	}()
	return read()
}

// must names the column of a null that may not be.
func must(c *column, ok bool, err error) error {
	if err == nil && !ok {
		return fmt.Errorf("column %s: %w", c.name, errNull)
	}
	return err
}

func (r *reader) int32List(dst *[]int32, c *column) (err error) {
	if c == nil {
		*dst = nil
		return nil
	}
	*dst, err = c.int32s(nil)
	return err
}

func (r *reader) float32List(dst *[]float32, c *column, n int) (err error) {
	if *dst, err = c.float32s(make([]float32, 0, n)); err != nil {
		return err
	}
	for i, x := range *dst {
		if math.Float32bits(x)&0x7f800000 == 0x7f800000 { // NaN or infinite
			return fmt.Errorf("column %s, element %d: %v is no finite number", c.name, i, x)
		}
	}
	return nil
}
