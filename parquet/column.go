package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	pq "github.com/parquet-go/parquet-go"
)

// column streams one leaf of a file, page by page, and hands it out row by row.
// It reassembles lists from repetition and definition levels, so it does not
// care how the writer named the groups between a list and its elements.
type column struct {
	name   string // path for errors
	file   *file
	groups []pq.RowGroup // still to be read
	group  int           // number of the first of groups
	leaf   *pq.Column
	kind   pq.Kind
	list   bool
	nullOK bool // a null list reads as an empty one
	maxDef byte
	// Definition levels of a list: below empty the list is null; at empty it has
	// no elements; between empty and maxDef an element is null. For a scalar
	// everything below maxDef is null.
	empty byte

	pages    pq.Pages
	page     pq.Page
	rep, def []byte
	n        int // entries in the page
	at, val  int // next entry, next value
	values   values
}

// values are the non-null values of a page; the slice of the column's kind is set.
type values struct {
	i32     []int32
	i64     []int64
	f32     []float32
	f64     []float64
	bytes   []byte
	offsets []uint32
	count   int
	dict    bool // i32 holds indexes into look
	look    *values
}

var errNull = errors.New("null where a value is needed")

// leafOf finds the leaf under root that holds the column, nil when absent.
// path is a top-level name, or "spans.role" for a field of a list of structs.
func leafOf(root *pq.Column, path string) (*pq.Column, error) {
	name, field, nested := strings.Cut(path, ".")
	c := root.Column(name)
	if c == nil {
		return nil, nil
	}
	for !c.Leaf() {
		children := c.Columns()
		if nested {
			if f := c.Column(field); f != nil {
				c = f
				continue
			}
		}
		if len(children) != 1 {
			return nil, fmt.Errorf("column %s: a group of %d fields where a plain value or list is needed", path, len(children))
		}
		c = children[0]
	}
	return c, nil
}

func newColumn(f *file, path string, list bool) (*column, error) {
	leaf, err := leafOf(f.pq.Root(), path)
	if leaf == nil || err != nil {
		return nil, err
	}
	c := &column{
		name: path, file: f, groups: f.pq.RowGroups(), leaf: leaf, kind: leaf.Type().Kind(),
		list: list, maxDef: byte(leaf.MaxDefinitionLevel()),
	}
	switch {
	case list && leaf.MaxRepetitionLevel() != 1:
		return nil, fmt.Errorf("column %s: a list of values is needed, nested %d deep here", path, leaf.MaxRepetitionLevel())
	case !list && leaf.MaxRepetitionLevel() != 0:
		return nil, fmt.Errorf("column %s: a list where a single value is needed", path)
	}
	if list {
		node, level := f.pq.Root(), byte(0)
		for _, name := range leaf.Path() {
			node = node.Column(name)
			if node.Repeated() {
				break
			}
			if node.Optional() {
				level++
			}
		}
		c.empty = level
	}
	return c, nil
}

// need reports a column whose physical type is none of kinds.
func (c *column) need(what string, kinds ...pq.Kind) error {
	for _, k := range kinds {
		if c.kind == k {
			return nil
		}
	}
	return fmt.Errorf("column %s: holds %s where %s is needed", c.name, c.kind, what)
}

// load makes the next entry available. It returns io.EOF after the last page;
// inRow: a row is being assembled, which cannot go on in the next row group.
func (c *column) load(inRow bool) error {
	for c.at >= c.n {
		if c.pages == nil {
			if inRow || len(c.groups) == 0 {
				return io.EOF
			}
			meta := &c.file.pq.Metadata().RowGroups[c.group].Columns[c.leaf.Index()].MetaData
			if err := checkChunk(c.file.f, c.file.size, c.leaf, meta); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
			chunks := c.groups[0].ColumnChunks()
			c.groups = c.groups[1:]
			c.group++
			c.pages = chunks[c.leaf.Index()].Pages()
		}
		if c.page != nil {
			pq.Release(c.page)
			c.page = nil
		}
		page, err := c.pages.ReadPage()
		if err == io.EOF {
			c.pages.Close()
			c.pages = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		if err := c.setPage(page); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

func (c *column) setPage(page pq.Page) error {
	c.page, c.at, c.val = page, 0, 0
	c.rep, c.def, c.n = page.RepetitionLevels(), page.DefinitionLevels(), int(page.NumValues())
	if (c.list && len(c.rep) < c.n) || (c.maxDef > 0 && len(c.def) < c.n) {
		return fmt.Errorf("page has %d values, %d repetition and %d definition levels", c.n, len(c.rep), len(c.def))
	}
	var err error
	if dict := page.Dictionary(); dict != nil {
		data := page.Data()
		index := data.Int32()
		look, lerr := c.pageValues(dict.Page())
		if lerr != nil {
			return lerr
		}
		for _, i := range index {
			if i < 0 || int(i) >= look.count {
				return fmt.Errorf("dictionary index %d of %d", i, look.count)
			}
		}
		c.values = values{i32: index, count: len(index), dict: true, look: &look}
	} else {
		c.values, err = c.pageValues(page)
	}
	return err
}

func (c *column) pageValues(page pq.Page) (values, error) {
	data := page.Data()
	var v values
	switch c.kind {
	case pq.Int32:
		v.i32 = data.Int32()
		v.count = len(v.i32)
	case pq.Int64:
		v.i64 = data.Int64()
		v.count = len(v.i64)
	case pq.Float:
		v.f32 = data.Float()
		v.count = len(v.f32)
	case pq.Double:
		v.f64 = data.Double()
		v.count = len(v.f64)
	case pq.ByteArray:
		v.bytes, v.offsets = data.ByteArray()
		v.count = max(0, len(v.offsets)-1)
	default:
		return v, fmt.Errorf("unsupported physical type %s", c.kind)
	}
	return v, nil
}

// run finds the next entries of the row at hand that are values: it returns
// how many follow (they lie in one page), and whether the row goes on.
func (c *column) run(first bool) (n int, more bool, err error) {
	if err := c.load(!first); err != nil {
		if err == io.EOF && !first {
			return 0, false, nil
		}
		return 0, false, err
	}
	if first != (c.rep[c.at] == 0) {
		if first {
			return 0, false, fmt.Errorf("column %s: page does not start with a row", c.name)
		}
		return 0, false, nil
	}
	start := c.at
	end := c.n
	if i := bytes.IndexByte(c.rep[start+1:c.n], 0); i >= 0 {
		end = start + 1 + i
	}
	c.at = end
	if c.maxDef > 0 {
		for i, d := range c.def[start:end] {
			if d == c.maxDef {
				continue
			}
			if (d == c.empty || c.nullOK && d < c.empty) && first && i == 0 && end == start+1 {
				return 0, end == c.n, nil
			}
			if d < c.empty {
				return 0, false, fmt.Errorf("column %s: %w (the list is null)", c.name, errNull)
			}
			return 0, false, fmt.Errorf("column %s, element %d: %w", c.name, i, errNull)
		}
	}
	n = end - start
	if c.val+n > c.values.count {
		return 0, false, fmt.Errorf("column %s: page has %d values, more are announced", c.name, c.values.count)
	}
	c.val += n
	return n, end == c.n, nil
}

// lists calls add for each run of values [lo, hi) of the next row's list.
func (c *column) lists(add func(lo, hi int) error) error {
	for first := true; ; first = false {
		n, more, err := c.run(first)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := add(c.val-n, c.val); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
		}
		if !more {
			return nil
		}
	}
}

// int32s appends the next row's list to dst.
func (c *column) int32s(dst []int32) ([]int32, error) {
	err := c.lists(func(lo, hi int) error {
		if c.kind == pq.Int32 && !c.values.dict {
			dst = append(dst, c.values.i32[lo:hi]...)
			return nil
		}
		if c.kind == pq.Int32 {
			for _, i := range c.values.i32[lo:hi] {
				dst = append(dst, c.values.look.i32[i])
			}
			return nil
		}
		for i := lo; i < hi; i++ {
			v := c.values.int(c.kind, i)
			if v < math.MinInt32 || v > math.MaxInt32 {
				return fmt.Errorf("element %d: %d does not fit 32 bits", len(dst), v)
			}
			dst = append(dst, int32(v))
		}
		return nil
	})
	return dst, err
}

// float32s appends the next row's list to dst.
func (c *column) float32s(dst []float32) ([]float32, error) {
	err := c.lists(func(lo, hi int) error {
		if !c.values.dict {
			dst = append(dst, c.values.f32[lo:hi]...)
			return nil
		}
		for _, i := range c.values.i32[lo:hi] {
			dst = append(dst, c.values.look.f32[i])
		}
		return nil
	})
	return dst, err
}

// texts appends the next row's list to dst.
func (c *column) texts(dst []string) ([]string, error) {
	err := c.lists(func(lo, hi int) error {
		for i := lo; i < hi; i++ {
			dst = append(dst, c.values.text(i))
		}
		return nil
	})
	return dst, err
}

// scalar moves to the next row's value and returns its index; ok is false for null.
func (c *column) scalar() (i int, ok bool, err error) {
	if err := c.load(false); err != nil {
		return 0, false, err
	}
	at := c.at
	c.at++
	if c.maxDef > 0 && c.def[at] != c.maxDef {
		return 0, false, nil
	}
	if c.val >= c.values.count {
		return 0, false, fmt.Errorf("column %s: page has %d values, more are announced", c.name, c.values.count)
	}
	c.val++
	return c.val - 1, true, nil
}

// text returns the next row's value; numbers are spelled in decimal.
func (c *column) text() (s string, ok bool, err error) {
	i, ok, err := c.scalar()
	if !ok || err != nil {
		return "", ok, err
	}
	if c.kind == pq.ByteArray {
		return c.values.text(i), true, nil
	}
	return strconv.FormatInt(c.values.int(c.kind, i), 10), true, nil
}

// int64 returns the next row's value.
func (c *column) int64() (v int64, ok bool, err error) {
	i, ok, err := c.scalar()
	if !ok || err != nil {
		return 0, ok, err
	}
	return c.values.int(c.kind, i), true, nil
}

// float64 returns the next row's value, of a Float or Double column.
func (c *column) float64() (v float64, ok bool, err error) {
	i, ok, err := c.scalar()
	if !ok || err != nil {
		return 0, ok, err
	}
	from := &c.values
	if from.dict {
		i, from = int(from.i32[i]), from.look
	}
	if c.kind == pq.Double {
		return from.f64[i], true, nil
	}
	return float64(from.f32[i]), true, nil
}

func (v *values) int(kind pq.Kind, i int) int64 {
	if v.dict {
		return v.look.int(kind, int(v.i32[i]))
	}
	if kind == pq.Int64 {
		return v.i64[i]
	}
	return int64(v.i32[i])
}

func (v *values) text(i int) string {
	if v.dict {
		return v.look.text(int(v.i32[i]))
	}
	return string(v.bytes[v.offsets[i]:v.offsets[i+1]])
}

func (c *column) close() {
	if c == nil {
		return
	}
	if c.page != nil {
		pq.Release(c.page)
		c.page = nil
	}
	if c.pages != nil {
		c.pages.Close()
		c.pages = nil
	}
}
