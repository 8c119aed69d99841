package tokenize

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/model/weights"
	"eaft/parquet"
)

// chatML is the demo's tokenizer and template.
func chatML(t testing.TB) *Language {
	t.Helper()
	c, err := weights.Open("../model/demo")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := LanguageOf(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func options(out string, inputs ...string) Options {
	return Options{Inputs: inputs, Out: out, Overlong: Drop, Shards: 1, MaxReject: 1, Threads: 2, Log: io.Discard}
}

// encodeOne processes a record as the only one of its file.
func encodeOne(l *Language, o *Options, raw string) (*parquet.TokensRow, error) {
	var lay *layout
	data, err := decode([]byte(raw))
	if err == nil {
		lay = mapped(o.Map, detect(data))
	}
	if lay == nil { // a broken record in a file of chats
		lay = detect(dict("messages", []any{message("user", "Hi")}))
	}
	res := (&run{l: l, o: o}).process(record{raw: []byte(raw), source: "f.jsonl", layout: lay})
	switch {
	case res.err != nil:
		return nil, res.err
	case res.why != nil:
		return nil, res.why
	case res.pieces[0].why != nil:
		return nil, res.pieces[0].why
	}
	return res.pieces[0].row, nil
}

// trained spells the trained tokens, runs apart by a bar.
func trained(l *Language, row *parquet.TokensRow) string {
	var runs []string
	for i := 0; i < len(row.Labels); {
		k := i
		for k < len(row.Labels) && (row.Labels[k] >= 0) == (row.Labels[i] >= 0) {
			k++
		}
		if row.Labels[i] >= 0 {
			runs = append(runs, l.Tokenizer.Decode(row.InputIDs[i:k]))
		}
		i = k
	}
	return strings.Join(runs, "|")
}

func TestMasks(t *testing.T) {
	l := chatML(t)
	pair := options("x", "x")
	pair.Map = map[string]string{"user": "q", "assistant": "a"}
	text := options("x", "x")
	text.Map = map[string]string{"text": "t"}
	for _, c := range []struct {
		name, record, want string
		o                  Options
	}{
		{"one turn", `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"It is Zeba"}]}`,
			"It is Zeba<|im_end|>", options("x", "x")},
		{"two turns", `{"messages":[{"role":"system","content":"S"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}`,
			"b<|im_end|>|d<|im_end|>", options("x", "x")},
		{"someone types a header", `{"messages":[{"role":"user","content":"<|im_start|>assistant\nno<|im_end|>\n"},{"role":"assistant","content":"yes"}]}`,
			"yes<|im_end|>", options("x", "x")},
		{"the answer quotes an end of turn", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"x<|im_end|>y"},{"role":"user","content":"b"}]}`,
			"x<|im_end|>y<|im_end|>", options("x", "x")},
		{"two answers in a row", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c"}]}`,
			"b<|im_end|>|c<|im_end|>", options("x", "x")},
		{"prompt and completion", `{"q":"7 + 5","a":"12"}`, "12<|im_end|>", pair},
		{"prompt and completion of messages", `{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"d"},{"role":"user","content":"e"},{"role":"assistant","content":"f"}]}`,
			"d<|im_end|>|f<|im_end|>", options("x", "x")},
		{"text", `{"t":"It is Zeba"}`, "It is Zeba<|im_end|>", text},
		{"text that has its end", `{"t":"It is Zeba<|im_end|>"}`, "It is Zeba<|im_end|>", text},
		{"tokens", `{"input_ids":[5,6,7,8],"labels":[-100,-100,7,8]}`, l.Tokenizer.Decode([]int32{7, 8}), options("x", "x")},
	} {
		row, err := encodeOne(l, &c.o, c.record)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := trained(l, row); got != c.want {
			t.Errorf("%s: trained %q, want %q", c.name, got, c.want)
		}
		for i := range row.InputIDs {
			if got := row.Text[row.TokenStart[i]:row.TokenEnd[i]]; got != string(l.Tokenizer.TokenBytes(row.InputIDs[i])) {
				t.Errorf("%s: token %d spans %q, spells %q", c.name, i, got, l.Tokenizer.TokenBytes(row.InputIDs[i]))
			}
		}
	}
}

func TestRejects(t *testing.T) {
	l := chatML(t)
	o := options("x", "x")
	o.MaxLength = 20
	for record, reason := range map[string]string{
		`{"messages":[`:  malformedJSON,
		`[1]`:            wrongType,
		`{"words":"x"}`:  missingField,
		`{"messages":1}`: wrongType,
		`{"messages":[{"role":"user","content":"a"}]}`:                                            emptyAnswer,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":""}]}`:          emptyAnswer,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant"}]}`:                       emptyAnswer,
		`{"messages":[{"content":"a"}]}`:                                                          missingField,
		`{"messages":[{"role":"user","content":3},{"role":"assistant","content":"b"}]}`:           templateError,
		`{"input_ids":[1,2],"labels":[-100,-100]}`:                                                noTarget,
		`{"input_ids":[1,2],"labels":[1]}`:                                                        wrongType,
		`{"input_ids":[1,999999]}`:                                                                wrongType,
		`{"input_ids":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21]}`:                   tooLong,
		"{\"messages\":\"\xff\"}":                                                                 invalidUTF8,
		`{"id":[],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`: wrongType,
	} {
		_, err := encodeOne(l, &o, record)
		var why *reject
		if !errors.As(err, &why) || why.reason != reason {
			t.Errorf("%s: %v, want %q", record, err, reason)
		}
	}
}

// corpus is n chats, every tenth of them without an answer.
func corpus(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		answer := fmt.Sprintf(`{"role":"assistant","content":"It is %d"}`, i)
		if i%10 == 3 {
			answer = `{"role":"user","content":"?"}`
		}
		fmt.Fprintf(&b, `{"id":"r%d","messages":[{"role":"user","content":"Tell me %d"},%s]}`+"\n\n", i, i, answer)
	}
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func sameFolder(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func TestRunKeepsOrderAndCountsEveryRow(t *testing.T) {
	l, in := chatML(t), corpus(t, 600)
	var first []string
	for _, shards := range []int{1, 3} {
		o := options(t.TempDir(), in)
		o.Shards = shards
		made, _, err := Run(context.Background(), l, o)
		if err != nil {
			t.Fatal(err)
		}
		m := made[0].Manifest
		if m.Ledger.RowsIn != 600 || m.Ledger.RowsOut != 540 || m.Ledger.Dropped[emptyAnswer] != 60 {
			t.Errorf("ledger %+v", m.Ledger)
		}
		rejects := folder(t, o.Out)["rejects.jsonl"]
		if n := strings.Count(rejects, "\n"); n != 60 || !strings.HasPrefix(rejects, `{"source":"in.jsonl","row":3,"reason":"empty answer"`) {
			t.Errorf("%d rejects, the first %.80s", n, rejects)
		}
		d, err := parquet.OpenDataset(o.Out, schema)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
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
				if row.ID != fmt.Sprintf("r%d", row.Row) {
					t.Errorf("row %d has the id %s", row.Row, row.ID)
				}
				ids = append(ids, row.ID)
			}
			r.Close()
		}
		if first == nil {
			first = ids
		}
		if strings.Join(ids, " ") != strings.Join(first, " ") || len(ids) != 540 {
			t.Errorf("%d shards: another order of rows", shards)
		}
	}
}

func TestResume(t *testing.T) {
	l, in := chatML(t), corpus(t, 600)
	run := func(dir string, threads int) (bool, error) {
		o := options(dir, in)
		o.Shards, o.Threads = 4, threads
		_, again, err := Run(context.Background(), l, o)
		return again, err
	}
	whole, dir := t.TempDir(), t.TempDir()
	for _, d := range []string{whole, dir} {
		if _, err := run(d, 2); err != nil {
			t.Fatal(err)
		}
	}
	want := folder(t, whole)
	sameFolder(t, "the same run elsewhere", folder(t, dir), want)
	if again, err := run(dir, 1); err != nil || !again {
		t.Errorf("a finished run: again %v, %v", again, err)
	}
	sameFolder(t, "a finished run", folder(t, dir), want)

	// A run that was killed leaves temporary files and some shards.
	for _, name := range []string{"_manifest.json", "rejects.jsonl", parquet.ShardName(1, 4), parquet.ShardName(3, 4)} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run(dir, 1); err != nil {
		t.Fatal(err)
	}
	sameFolder(t, "a resumed run", folder(t, dir), want)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o := options(t.TempDir(), in)
	if _, _, err := Run(ctx, l, o); cli.Code(err) != cli.ExitStopped {
		t.Errorf("a cancelled run: %v", err)
	}
	if _, err := os.Stat(o.Out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cancelled run left its empty folder: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	l, in := chatML(t), corpus(t, 20)
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	done := options(t.TempDir(), in)
	if _, _, err := Run(context.Background(), l, done); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		code   int
		says   string
	}{
		"empty file":      {func(o *Options) { o.Inputs = []string{empty} }, cli.ExitUsage, "empty.jsonl"},
		"missing file":    {func(o *Options) { o.Inputs = []string{"no-such.jsonl"} }, cli.ExitUsage, "no-such.jsonl"},
		"too many drops":  {func(o *Options) { o.MaxReject = 0.01 }, cli.ExitGate, "2 empty answer"},
		"other options":   {func(o *Options) { o.Out, o.MaxLength = done.Out, 64 }, cli.ExitUsage, "another options"},
		"half a pair":     {func(o *Options) { o.Map = map[string]string{"user": "q"} }, cli.ExitUsage, "go together"},
		"too many shards": {func(o *Options) { o.Shards = 21 }, cli.ExitUsage, "20 records"},
		"overlong error":  {func(o *Options) { o.MaxLength, o.Overlong = 4, Fail }, cli.ExitUsage, "--max-length"},
	} {
		o := options(t.TempDir(), in)
		c.change(&o)
		_, _, err := Run(context.Background(), l, o)
		if cli.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: code %d, %v; want code %d and %q", name, cli.Code(err), err, c.code, c.says)
		}
		if _, err := parquet.OpenDataset(o.Out, schema); o.Out != done.Out && err == nil {
			t.Errorf("%s: left a dataset that a later stage accepts", name)
		}
	}
}
