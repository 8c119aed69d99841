package report

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"eaft/internal/cli"
	"eaft/parquet"
)

// Formats of Export.
var Formats = []string{"arrow", "jsonl", "csv"}

// sink takes targets in order.
type sink interface {
	write(t *Target) error
	close() error
}

// Export writes the chosen targets, a line or record each, in order.
func Export(ctx context.Context, w io.Writer, o Options, where Where, format string) error {
	s, err := newSelection(ctx, o, "export", where, true)
	if err != nil {
		return err
	}
	defer s.done()
	columns := columnsOf(s.p.scores.Manifest.StoreTopK > 0)
	buffered := bufio.NewWriterSize(w, 1<<18)
	var out sink
	switch format {
	case "arrow":
		out = newArrowSink(buffered, columns)
	case "jsonl":
		enc := json.NewEncoder(buffered)
		enc.SetEscapeHTML(false)
		out = jsonSink{enc}
	case "csv":
		out = newCSVSink(buffered, columns)
	default:
		return cli.Usagef("--format %q: use %s", format, strings.Join(Formats, ", "))
	}
	err = s.p.sequential(ctx, func(i int64, scores *parquet.ScoresRow, tok *parquet.TokensRow, counted []int) error {
		for _, t := range s.targets(i, scores, tok, counted) {
			if err := out.write(&t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	return buffered.Flush()
}

type jsonSink struct{ enc *json.Encoder }

// Texts with bytes that are no UTF-8 keep them as U+FFFD, as JSON has no bytes.
func (s jsonSink) write(t *Target) error { return s.enc.Encode(t) }
func (s jsonSink) close() error          { return nil }

// field is a column of the table.
type field struct {
	name string
	kind arrow.DataType
}

// columns of the table in order, for CSV and Arrow.
var columns = []field{
	{"row", arrow.PrimitiveTypes.Int64}, {"id", arrow.BinaryTypes.String}, {"source", arrow.BinaryTypes.String}, {"role", arrow.BinaryTypes.String},
	{"pos", arrow.PrimitiveTypes.Int32}, {"token", arrow.PrimitiveTypes.Int32}, {"text", arrow.BinaryTypes.String}, {"class", arrow.BinaryTypes.String},
	{"logprob", arrow.PrimitiveTypes.Float32}, {"prob", arrow.PrimitiveTypes.Float32}, {"entropy", arrow.PrimitiveTypes.Float32},
	{"topk_entropy", arrow.PrimitiveTypes.Float32}, {"topk_mass", arrow.PrimitiveTypes.Float32}, {"h", arrow.PrimitiveTypes.Float32},
	{"rank", arrow.PrimitiveTypes.Int32}, {"top1_id", arrow.PrimitiveTypes.Int32}, {"top1_text", arrow.BinaryTypes.String},
	{"top1_prob", arrow.PrimitiveTypes.Float32}, {"conflict", arrow.FixedWidthTypes.Boolean}, {"why", arrow.BinaryTypes.String},
}

// likeliest are the columns that follow where the scores store likeliest tokens;
// in CSV they are JSON.
var likeliest = []field{
	{"topk_id", arrow.ListOf(arrow.PrimitiveTypes.Int32)}, {"topk_text", arrow.ListOf(arrow.BinaryTypes.String)},
	{"topk_logprob", arrow.ListOf(arrow.PrimitiveTypes.Float32)},
}

func columnsOf(topK bool) []field {
	if topK {
		return slices.Concat(columns, likeliest)
	}
	return columns
}

// values in the order of columns and likeliest.
func (t *Target) values() []any {
	valid := func(s string) string { return string([]rune(s)) } // as JSON does: U+FFFD for each byte that is none
	texts := make([]string, len(t.TopKText))
	for i, s := range t.TopKText {
		texts[i] = valid(s)
	}
	return []any{t.Row, valid(t.ID), valid(t.Source), valid(t.Role), t.Pos, t.Token, valid(t.Text), t.Class, t.LogProb, float32(t.Prob), t.Entropy,
		t.TopKEntropy, t.Mass, float32(t.H), t.Rank, t.Expected, valid(t.ExpectedText), float32(t.ExpectedProb), t.Conflict, t.Why, t.TopKID, texts, t.TopKLogProb}
}

type csvSink struct {
	w       *csv.Writer
	columns int
}

func newCSVSink(w io.Writer, columns []field) csvSink {
	s := csvSink{csv.NewWriter(w), len(columns)}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	s.w.Write(names) // an error is kept for Flush
	return s
}

func (s csvSink) write(t *Target) error {
	fields := make([]string, 0, s.columns)
	for _, v := range t.values()[:s.columns] {
		var f string
		switch x := v.(type) {
		case string:
			f = x
		case int64:
			f = strconv.FormatInt(x, 10)
		case int32:
			f = strconv.FormatInt(int64(x), 10)
		case float32:
			f = strconv.FormatFloat(float64(x), 'g', -1, 32)
		case bool:
			f = strconv.FormatBool(x)
		default:
			list, err := json.Marshal(x)
			if err != nil {
				return err
			}
			f = string(list)
		}
		fields = append(fields, f)
	}
	return s.w.Write(fields)
}

func (s csvSink) close() error {
	s.w.Flush()
	return s.w.Error()
}

// arrowRows is how many targets a record batch holds.
const arrowRows = 1 << 16

type arrowSink struct {
	w *ipc.Writer
	b *array.RecordBuilder
	n int
}

func newArrowSink(w io.Writer, columns []field) *arrowSink {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.kind}
	}
	schema := arrow.NewSchema(fields, nil)
	return &arrowSink{w: ipc.NewWriter(w, ipc.WithSchema(schema)), b: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
}

func (s *arrowSink) write(t *Target) error {
	for i, v := range t.values()[:len(s.b.Fields())] {
		switch x := v.(type) {
		case string:
			s.b.Field(i).(*array.StringBuilder).Append(x)
		case int64:
			s.b.Field(i).(*array.Int64Builder).Append(x)
		case int32:
			s.b.Field(i).(*array.Int32Builder).Append(x)
		case float32:
			s.b.Field(i).(*array.Float32Builder).Append(x)
		case bool:
			s.b.Field(i).(*array.BooleanBuilder).Append(x)
		case []int32:
			list := s.b.Field(i).(*array.ListBuilder)
			list.Append(true)
			list.ValueBuilder().(*array.Int32Builder).AppendValues(x, nil)
		case []string:
			list := s.b.Field(i).(*array.ListBuilder)
			list.Append(true)
			list.ValueBuilder().(*array.StringBuilder).AppendValues(x, nil)
		case []float32:
			list := s.b.Field(i).(*array.ListBuilder)
			list.Append(true)
			list.ValueBuilder().(*array.Float32Builder).AppendValues(x, nil)
		}
	}
	if s.n++; s.n == arrowRows {
		return s.flush()
	}
	return nil
}

func (s *arrowSink) flush() error {
	r := s.b.NewRecordBatch()
	defer r.Release()
	s.n = 0
	return s.w.Write(r)
}

// close writes the last batch, which says the schema even of nothing.
func (s *arrowSink) close() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Close()
}
