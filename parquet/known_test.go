package parquet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
)

// withColumn writes a file of rows of type T that says it is of schema, and was
// written by app.
func withColumn[T any](t *testing.T, schema, app string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pq.NewGenericWriter[T](f, pq.CreatedBy(app, "1", "1"))
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
		{"our tokens", withColumn[tokensAndMore](t, SchemaTokens, "eaft"), "quality", tokens},
		{"foreign tokens", withColumn[tokensAndMore](t, "", "pyarrow"), "", tokens},
		{"our tokens, written again", withColumn[tokensAndMore](t, SchemaTokens, "pyarrow"), "", tokens},
		{"our spans", withColumn[tokensWithMoreSpans](t, SchemaTokens, "eaft"), "spans.name", tokens},
		{"foreign spans", withColumn[tokensWithMoreSpans](t, "", "pyarrow"), "", tokens},
		{"tokens", withColumn[TokensRow](t, SchemaTokens, "eaft"), "", tokens},
		{"our scores", withColumn[scoresAndMore](t, SchemaScores, "eaft"), "quality", scores},
		{"foreign scores", withColumn[scoresAndMore](t, "", "pyarrow"), "", scores},
		{"scores", withColumn[ScoresRow](t, SchemaScores, "eaft"), "", scores},
		{"our audit", withColumn[auditAndMore](t, SchemaAudit, "eaft"), "quality", audit},
		{"audit", withColumn[AuditRow](t, SchemaAudit, "eaft"), "", audit},
		{"likeliest tokens without their number", withColumn[scoresTopKRow](t, SchemaScores, "eaft"), "topk_id", scores},
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

// What another program wrote from a shard of ours, with its metadata, is foreign:
// tokens to be taken, scores not. A copy of ours without the manifest is neither.
func TestWrittenAgain(t *testing.T) {
	for _, c := range []struct {
		what, path, schema, want string
	}{
		{"tokens", withColumn[tokensAndMore](t, SchemaTokens, "parquet-cpp-arrow"), SchemaTokens, ""},
		{"scores", withColumn[ScoresRow](t, SchemaScores, "parquet-cpp-arrow"), SchemaScores, "no dataset of schema scores/1, which has a _manifest.json and is taken only as it was written"},
		{"a copy", withColumn[TokensRow](t, SchemaTokens, "eaft"), SchemaTokens, "unfinished: it has shards of tokens/1 but no _manifest.json; run the stage again, or copy _manifest.json too"},
	} {
		d, err := OpenDataset(filepath.Dir(c.path), c.schema)
		switch {
		case c.want == "" && (err != nil || !d.Foreign || len(d.Shards) != 1):
			t.Errorf("%s: %+v, %v", c.what, d, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", c.what, err)
		}
	}
	path := withColumn[TokensRow](t, SchemaTokens, "parquet-cpp-arrow")
	dir := filepath.Dir(path)
	for bytes, want := range map[int64]string{1: "bytes where the manifest says", 0: "content has the hash"} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		m := &Manifest{Schema: SchemaTokens, Shards: []ShardInfo{{Name: filepath.Base(path), Rows: 1, Bytes: st.Size() + bytes, SHA256: "sha256:0"}}}
		if err := WriteManifest(dir, m); err != nil {
			t.Fatal(err)
		}
		d, err := OpenDataset(dir, SchemaTokens)
		if err == nil {
			err = d.Verify()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `written again by "parquet-cpp-arrow`) {
			t.Errorf("%v", err)
		}
	}
}
