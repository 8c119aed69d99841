package tokenize

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"eaft/parquet"
)

func matches(pattern, s string) bool { return regexp.MustCompile("(?s)" + pattern).MatchString(s) }

// write makes a file in a folder of its own.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// made runs and gives back the rows of the first dataset, and what was logged.
func made(t testing.TB, l *Language, o Options) ([]parquet.TokensRow, string) {
	t.Helper()
	var log bytes.Buffer
	o.Log = &log
	sets, _, err := Run(context.Background(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	return rowsOf(t, sets[0].Dir), log.String()
}

func rowsOf(t testing.TB, dir string) (rows []parquet.TokensRow) {
	t.Helper()
	d, err := parquet.OpenDataset(dir, schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range d.Shards {
		r, err := parquet.OpenTokens(shard)
		if err != nil {
			t.Fatal(err)
		}
		for {
			var row parquet.TokensRow
			if err := r.Next(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		r.Close()
	}
	return rows
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func zstdOf(s string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(s), nil))
}

func TestContainers(t *testing.T) {
	l := chatML(t)
	const lines = "{\"text\":\"one\"}\n\n{\"text\":\"two, \\\"2\\\"\"}\r\n"
	const table = "text,n\none,1\n\"two, \"\"2\"\"\",2\n"
	for _, c := range []struct{ name, content, container string }{
		{"a.jsonl", lines, "JSON Lines"},
		{"a.jsonl", "\xEF\xBB\xBF" + lines, "JSON Lines"},
		{"a.jsonl", strings.TrimSpace(lines), "JSON Lines"},
		{"a.jsonl.gz", gzipped(lines), "JSON Lines, gzip"},
		{"a.jsonl.gz", gzipped(lines[:16]) + gzipped(lines[16:]), "JSON Lines, gzip"},
		{"a.data", zstdOf(lines), "JSON Lines, zstd"},
		{"a.json", ` [ {"text":"one"}, {"text":"two, \"2\""} ] `, "JSON array"},
		{"a.json", `{"x":{"text":"one"},"y":{"text":"two, \"2\""}}`, "JSON object"},
		{"a.csv", table, "CSV"},
		{"a.csv", "\xEF\xBB\xBF" + strings.ReplaceAll(table, "\n", "\r\n"), "CSV"},
		{"a.csv.zst", zstdOf(table), "CSV, zstd"},
	} {
		o := options(t.TempDir(), write(t, c.name, c.content))
		o.NoSpecialTokens = true
		rows, log := made(t, l, o)
		if len(rows) != 2 || rows[0].Text != "one" || rows[1].Text != `two, "2"` || rows[1].Row != 1 {
			t.Errorf("%s %s: rows %+v", c.container, c.name, rows)
		}
		unread := ""
		if strings.HasPrefix(c.container, "CSV") {
			unread = "; not read: n"
		}
		if want := c.name + ": " + c.container + ", 2 records: plain text (text=text)" + unread + "\n"; log != want {
			t.Errorf("%s: log %q, want %q", c.name, log, want)
		}
		if c.container == "JSON object" && rows[1].ID != "y" {
			t.Errorf("a record's key did not become its id: %q", rows[1].ID)
		}
	}
}

// A record may be longer than every buffer, and stand across their ends.
func TestScannerAcrossBuffers(t *testing.T) {
	var records []string
	for i, n := range []int{1, 1 << 18, 3, 1 << 20, 0, 70_000} {
		records = append(records, `{"text":"`+strings.Repeat(string(rune('a'+i))+`\"\\[{`, n/6+1)+`"}`)
	}
	for shape, text := range map[jsonShape]string{
		jsonLines: strings.Join(records, "\n"), jsonArray: "[" + strings.Join(records, ",\n") + "]", jsonKeyed: `{"a":` + strings.Join(records, `,"b":`) + "}",
	} {
		for _, size := range []int{1, 7, 4096, 1 << 20} {
			s := newScanner(&slowReader{strings.NewReader(text), size})
			got, ok := s.shape()
			var seen []string
			err := s.eachJSON(shape, func(_, raw []byte) error { seen = append(seen, string(raw)); return nil })
			if !ok || got != shape || err != nil || !slices.Equal(seen, records) {
				t.Errorf("shape %d, reads of %d bytes: shape %d, %d records, %v", shape, size, got, len(seen), err)
			}
		}
	}
}

type slowReader struct {
	r io.Reader
	n int
}

func (s *slowReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

func TestInputsThatAreNoFiles(t *testing.T) {
	l := chatML(t)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"b.jsonl": `{"text":"the b"}`, "sub/a.json": `[{"text":"the a"}]`, "sub/b.jsonl": `{"text":"sub b"}`, "LICENSE": "x", ".hidden.jsonl": "x", "notes.txt": "x",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	sources := func(o Options) (out []string) {
		o.NoSpecialTokens = true
		rows, _ := made(t, l, o)
		for _, r := range rows {
			out = append(out, r.Source+"="+r.Text)
		}
		return out
	}
	if got := sources(options(t.TempDir(), dir)); !slices.Equal(got, []string{"b.jsonl=the b", "sub/a.json=the a", "sub/b.jsonl=sub b"}) {
		t.Errorf("folder: %v", got)
	}
	link := filepath.Join(t.TempDir(), ".link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if got := sources(options(t.TempDir(), link)); !slices.Equal(got, []string{"b.jsonl=the b", "sub/a.json=the a", "sub/b.jsonl=sub b"}) {
		t.Errorf("a link to the folder: %v", got)
	}
	inside := filepath.Join(dir, "out")
	for range 2 { // its own shards are no input of a run
		if got := sources(options(inside, dir)); len(got) != 3 {
			t.Errorf("--out in the folder: %v", got)
		}
	}
	if err := os.RemoveAll(inside); err != nil {
		t.Fatal(err)
	}
	if got := sources(options(t.TempDir(), filepath.Join(dir, "sub", "*.json*"))); !slices.Equal(got, []string{"a.json=the a", "b.jsonl=sub b"}) {
		t.Errorf("pattern: %v", got)
	}
	for _, text := range []string{`{"text":"the in"}`, "text\nthe in\n", gzipped(`[{"text":"the in"}]`)} {
		o := options(t.TempDir(), "-")
		o.Stdin, o.NoSpecialTokens = strings.NewReader(text), true
		if got := sources(o); !slices.Equal(got, []string{"stdin=the in"}) {
			t.Errorf("stdin %q: %v", text, got)
		}
		again := o
		again.Stdin = strings.NewReader(text)
		if _, done, err := Run(context.Background(), l, again); err != nil || !done {
			t.Errorf("the same standard input again: done %v, %v", done, err)
		}
		if left := folder(t, o.Out); len(left) != 4 {
			t.Errorf("left %d files", len(left))
		}
	}
	for _, inputs := range [][]string{{filepath.Join(dir, "*.csv")}, {t.TempDir()}, {filepath.Join(dir, "b.jsonl"), filepath.Join(dir, "sub", "b.jsonl")}} {
		if _, _, err := Run(context.Background(), l, options(t.TempDir(), inputs...)); err == nil {
			t.Errorf("%v: no error", inputs)
		}
	}
}

// Our own tokens and foreign files of nested messages are inputs like others.
func TestParquetInput(t *testing.T) {
	l := chatML(t)
	in := corpus(t, 30)
	dir := t.TempDir()
	first, _ := made(t, l, options(dir, in))
	again, log := made(t, l, options(t.TempDir(), dir))
	if len(again) != len(first) || len(first) == 0 || !strings.Contains(log, "Parquet, 27 records: tokens") {
		t.Fatalf("%d rows of %d; %s", len(again), len(first), log)
	}
	for i := range first {
		if !slices.Equal(first[i].InputIDs, again[i].InputIDs) || !slices.Equal(first[i].Labels, again[i].Labels) || first[i].ID != again[i].ID {
			t.Errorf("row %d differs", i)
		}
	}
}
