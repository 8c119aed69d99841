package parquet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"eaft/internal/jsontext"
)

// Records reads the rows of any Parquet file as JSON objects, nested lists,
// structs and maps included. Fields that are null are left out of their object:
// writers that turn rows of several shapes into one schema fill up with nulls.
type Records struct {
	*reader
	root   *node
	groups []pq.RowGroup
	rows   pq.Rows
	batch  []pq.Row
	n, at  int
	under  []*pq.Column // the leaves
	leaves [][]pq.Value
	out    []byte
}

// node is a column or a group of them.
type node struct {
	key      []byte // as JSON, with its colon
	name     string
	children []*node
	first    int // leaf number of the first leaf below
	leaves   int
	def, rep int // maximal levels of the node itself
	optional bool
	repeated bool
	isList   bool // LIST: one repeated child that stands for the elements
	isMap    bool // MAP: one repeated child of key and value
	bare     bool // the repeated group of a list has one field: it is the element
	isLeaf   bool
	unsigned bool
}

// recordsBatch is how many rows are decoded at a time.
const recordsBatch = 64

// maxDepth bounds how deep a schema may nest.
const maxDepth = 64

// OpenRecords opens a file of any schema.
func OpenRecords(path string) (r *Records, err error) {
	base, err := openReader(path)
	if err != nil {
		return nil, err
	}
	r = &Records{reader: base, batch: make([]pq.Row, recordsBatch)}
	defer func() {
		if err = r.ready(recover()); err != nil {
			r = nil
		}
	}()
	root, err := newNode(r.pq.Root(), 0, 0, 0, 0)
	if err != nil {
		r.err = fmt.Errorf("%s: %w", path, err)
	} else {
		r.root, r.groups, r.leaves = root, r.pq.RowGroups(), make([][]pq.Value, root.leaves)
		r.under = leavesOf(r.pq.Root(), nil)
	}
	return r, nil
}

func newNode(c *pq.Column, depth, first, def, rep int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("column %s: nested deeper than %d", c.Name(), maxDepth)
	}
	key, err := json.Marshal(c.Name())
	if err != nil {
		return nil, err
	}
	n := &node{key: append(key, ':'), name: c.Name(), first: first, optional: c.Optional(), repeated: c.Repeated()}
	if depth > 0 && (n.optional || n.repeated) {
		def++
	}
	if n.repeated {
		rep++
	}
	n.def, n.rep = def, rep
	if c.Leaf() {
		n.isLeaf, n.leaves = true, 1
		if t := c.Type().LogicalType(); t != nil {
			number, ok := t.Value.(*format.IntType)
			n.unsigned = ok && !number.IsSigned
		}
		return n, nil
	}
	for _, child := range c.Columns() {
		m, err := newNode(child, depth+1, first+n.leaves, def, rep)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, m)
		n.leaves += m.leaves
	}
	if len(n.children) == 0 {
		return nil, fmt.Errorf("column %s: a group without fields", c.Name())
	}
	if t := c.Type().LogicalType(); t != nil && len(n.children) == 1 && n.children[0].repeated {
		_, n.isList = t.Value.(*format.ListType)
		_, n.isMap = t.Value.(*format.MapType)
		n.isMap = n.isMap && len(n.children[0].children) == 2
		n.children[0].bare = n.isList && len(n.children[0].children) == 1 && n.children[0].name != "array"
	}
	return n, nil
}

// leavesOf appends the leaves below a column in their order.
func leavesOf(c *pq.Column, to []*pq.Column) []*pq.Column {
	if c.Leaf() {
		return append(to, c)
	}
	for _, child := range c.Columns() {
		to = leavesOf(child, to)
	}
	return to
}

// Next is the next row as JSON, valid until the next call; io.EOF at the end.
func (r *Records) Next() (raw []byte, err error) {
	err = r.next(func() error {
		if err := r.load(); err != nil {
			return err
		}
		row := r.batch[r.at]
		r.at++
		for i := range r.leaves {
			r.leaves[i] = nil
		}
		for len(row) > 0 {
			c, k := row[0].Column(), 1
			for k < len(row) && row[k].Column() == c {
				k++
			}
			if c < 0 || c >= len(r.leaves) || r.leaves[c] != nil {
				return fmt.Errorf("corrupt row: column %d", c)
			}
			r.leaves[c], row = row[:k], row[k:]
		}
		r.out, err = r.root.object(r.out[:0], r.leaves)
		return err
	})
	return r.out, err
}

func (r *Records) load() error {
	for r.at >= r.n {
		if r.rows == nil {
			if len(r.groups) == 0 {
				return io.EOF
			}
			g := len(r.pq.RowGroups()) - len(r.groups)
			for i := range r.pq.Metadata().RowGroups[g].Columns {
				meta := &r.pq.Metadata().RowGroups[g].Columns[i].MetaData
				if err := checkChunk(r.f, r.size, r.under[i], meta); err != nil {
					return fmt.Errorf("column %d: %w", i, err)
				}
			}
			r.rows = r.groups[0].Rows()
			r.groups = r.groups[1:]
		}
		n, err := r.rows.ReadRows(r.batch)
		r.n, r.at = n, 0
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			err = r.rows.Close()
			r.rows = nil
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Close releases the file.
func (r *Records) Close() error {
	if r.rows != nil {
		r.rows.Close()
		r.rows = nil
	}
	return r.reader.Close()
}

// object writes a group's fields.
func (n *node) object(b []byte, leaves [][]pq.Value) (_ []byte, err error) {
	b = append(b, '{')
	start := len(b)
	for _, c := range n.children {
		mark := len(b)
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, c.key...)
		at := len(b)
		if b, err = c.write(b, leaves); err != nil {
			return nil, err
		}
		if string(b[at:]) == "null" {
			b = b[:mark]
		}
	}
	return append(b, '}'), nil
}

// write writes a node's value and consumes it from the leaves below it.
func (n *node) write(b []byte, leaves [][]pq.Value) ([]byte, error) {
	v, err := n.peek(leaves)
	if err != nil {
		return nil, err
	}
	if v.DefinitionLevel() < n.def && n.optional {
		return append(b, "null"...), n.skip(leaves)
	}
	switch {
	case n.repeated: // a list without a LIST around it
		return n.elements(b, leaves, '[', ']')
	case n.isList:
		return n.children[0].elements(b, leaves, '[', ']')
	case n.isMap:
		return n.children[0].elements(b, leaves, '{', '}')
	}
	return n.value(b, leaves)
}

// value writes what a present node holds.
func (n *node) value(b []byte, leaves [][]pq.Value) ([]byte, error) {
	if !n.isLeaf {
		return n.object(b, leaves)
	}
	v := leaves[n.first][0]
	leaves[n.first] = leaves[n.first][1:]
	return appendValue(b, v, n)
}

// elements writes the entries of a repeated node until the leaves begin another
// list.
func (n *node) elements(b []byte, leaves [][]pq.Value, open, shut byte) (_ []byte, err error) {
	b = append(b, open)
	v, err := n.peek(leaves)
	if err != nil {
		return nil, err
	}
	if v.DefinitionLevel() < n.def {
		return append(b, shut), n.skip(leaves)
	}
	for i := 0; ; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case open == '{':
			b, err = n.entry(b, leaves)
		case n.bare:
			b, err = n.children[0].write(b, leaves)
		default:
			b, err = n.value(b, leaves)
		}
		if err != nil {
			return nil, err
		}
		next := leaves[n.first]
		if len(next) == 0 || next[0].RepetitionLevel() < n.rep {
			return append(b, shut), nil
		}
	}
}

// entry writes a map's key and value; keys that are no text are spelled.
func (n *node) entry(b []byte, leaves [][]pq.Value) ([]byte, error) {
	at := len(b)
	b, err := n.children[0].write(b, leaves)
	if err != nil {
		return nil, err
	}
	if b[at] != '"' {
		text := string(b[at:])
		b = jsontext.Append(b[:at], text)
	}
	return n.children[1].write(append(b, ':'), leaves)
}

func (n *node) peek(leaves [][]pq.Value) (pq.Value, error) {
	if len(leaves[n.first]) == 0 {
		return pq.Value{}, fmt.Errorf("column %s: corrupt levels", n.name)
	}
	return leaves[n.first][0], nil
}

// skip consumes the one entry that stands for nothing in every leaf.
func (n *node) skip(leaves [][]pq.Value) error {
	for i := n.first; i < n.first+n.leaves; i++ {
		if len(leaves[i]) == 0 {
			return fmt.Errorf("column %s: corrupt levels", n.name)
		}
		leaves[i] = leaves[i][1:]
	}
	return nil
}

func appendValue(b []byte, v pq.Value, n *node) ([]byte, error) {
	if v.IsNull() {
		return append(b, "null"...), nil
	}
	switch v.Kind() {
	case pq.Boolean:
		return strconv.AppendBool(b, v.Boolean()), nil
	case pq.Int32:
		if n.unsigned {
			return strconv.AppendUint(b, uint64(uint32(v.Int32())), 10), nil
		}
		return strconv.AppendInt(b, int64(v.Int32()), 10), nil
	case pq.Int64:
		if n.unsigned {
			return strconv.AppendUint(b, uint64(v.Int64()), 10), nil
		}
		return strconv.AppendInt(b, v.Int64(), 10), nil
	case pq.Int96:
		return append(b, v.Int96().String()...), nil
	case pq.Float:
		return appendFloat(b, float64(v.Float()), 32), nil
	case pq.Double:
		return appendFloat(b, v.Double(), 64), nil
	}
	text := v.ByteArray()
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("column %s: bytes that are no UTF-8; leave the column out of the file", n.name)
	}
	return jsontext.Append(b, string(text)), nil
}

// appendFloat writes NaN and infinities, which JSON lacks, as null.
func appendFloat(b []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, bits)
}
