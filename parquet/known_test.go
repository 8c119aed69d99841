package parquet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
)

// withColumn writes a file of rows of type T that says it is of schema.
func withColumn[T any](t *testing.T, schema string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pq.NewGenericWriter[T](f)
	if schema != "" {
		w.SetKeyValueMetadata("eaft.schema", schema)
	}
	var row T
	if _, err := w.Write([]T{row}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

type tokensAndMore struct {
	TokensRow
	Quality float64 `parquet:"quality"`
}

type spanAndMore struct {
	Span
	Name string `parquet:"name"`
}

type tokensWithMoreSpans struct {
	ID       string        `parquet:"id"`
	InputIDs []int32       `parquet:"input_ids,list"`
	Labels   []int32       `parquet:"labels,list"`
	Spans    []spanAndMore `parquet:"spans,list"`
}

type scoresAndMore struct {
	ScoresRow
	Quality float64 `parquet:"quality"`
}

type auditAndMore struct {
	AuditRow
	Quality float64 `parquet:"quality"`
}

func TestUnknownColumns(t *testing.T) {
	tokens := func(path string) error {
		r, err := OpenTokens(path)
		if err == nil {
			err = r.Next(&TokensRow{})
			r.Close()
		}
		return err
	}
	scores := func(path string) error {
		r, err := OpenScores(path)
		if err == nil {
			err = r.Next(&ScoresRow{})
			r.Close()
		}
		return err
	}
	audit := func(path string) error {
		r, err := OpenAudit(path)
		if err == nil {
			err = r.Next(&AuditRow{})
			r.Close()
		}
		return err
	}
	for _, c := range []struct {
		name, path, column string // column: refused
		open               func(string) error
	}{
		{"our tokens", withColumn[tokensAndMore](t, SchemaTokens), "quality", tokens},
		{"foreign tokens", withColumn[tokensAndMore](t, ""), "", tokens},
		{"our spans", withColumn[tokensWithMoreSpans](t, SchemaTokens), "spans.name", tokens},
		{"foreign spans", withColumn[tokensWithMoreSpans](t, ""), "", tokens},
		{"tokens", withColumn[TokensRow](t, SchemaTokens), "", tokens},
		{"our scores", withColumn[scoresAndMore](t, SchemaScores), "quality", scores},
		{"foreign scores", withColumn[scoresAndMore](t, ""), "", scores},
		{"scores", withColumn[ScoresRow](t, SchemaScores), "", scores},
		{"our audit", withColumn[auditAndMore](t, SchemaAudit), "quality", audit},
		{"audit", withColumn[AuditRow](t, SchemaAudit), "", audit},
		{"likeliest tokens without their number", withColumn[scoresTopKRow](t, SchemaScores), "topk_id", scores},
	} {
		err := c.open(c.path)
		switch {
		case c.column == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.column != "" && (err == nil || !strings.Contains(err.Error(), c.path+": column "+c.column+" is not one of ") || !strings.Contains(err.Error(), "without the column")):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
