package tokenize

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/parquet"
)

func TestOverLength(t *testing.T) {
	l := chatML(t)
	long := strings.Repeat("It is Zeba. ", 30)
	in := write(t, "in.jsonl", fmt.Sprintf(`{"id":"long","messages":[{"role":"user","content":"Tell"},{"role":"assistant","content":"%s"}]}
{"id":"late","messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"No"}]}
{"id":"short","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"It is"}]}
{"id":"chars","text":1,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"%s"}]}
`, long, long, strings.Repeat("\U0001F600é", 60)))
	run := func(over Overlong) (Made, []parquet.TokensRow, error) {
		o := options(t.TempDir(), in)
		o.MaxLength, o.Overlong = 50, over
		sets, _, err := Run(context.Background(), l, o)
		if err != nil {
			return Made{}, nil, err
		}
		return sets[0], rowsOf(t, sets[0].Dir), nil
	}
	whole := options(t.TempDir(), in)
	all, _ := made(t, l, whole)
	if len(all) != 4 {
		t.Fatalf("%d rows", len(all))
	}

	d, rows, err := run(Drop)
	if g := d.Manifest.Ledger; err != nil || len(rows) != 1 || g.Dropped[tooLong] != 3 {
		t.Errorf("drop: %d rows, %+v, %v", len(rows), g, err)
	}
	d, rows, err = run(Truncate)
	if g := d.Manifest.Ledger; err != nil || len(rows) != 3 || g.Dropped[cutToNothing] != 1 || g.Truncated != 2 {
		t.Errorf("truncate: %d rows, %+v, %v", len(rows), g, err)
	}
	if !slices.Equal(rows[0].InputIDs, all[0].InputIDs[:50]) {
		t.Error("truncate: other tokens than the first 50")
	}
	if _, _, err = run(Fail); cli.Code(err) != cli.ExitUsage || !matches("in.jsonl: record 0 has .* --over-length drop, truncate or split", fmt.Sprint(err)) {
		t.Errorf("error: %v", err)
	}

	d, rows, err = run(Split)
	if err != nil {
		t.Fatal(err)
	}
	g := d.Manifest.Ledger
	if g.RowsIn != 4 || g.RowsOut != int64(len(rows)) || g.Split == 0 || g.Dropped[emptyPiece] == 0 || g.RowsIn+g.Split != g.RowsOut+g.Dropped[emptyPiece] {
		t.Errorf("split: ledger %+v, %d rows", g, len(rows))
	}
	for _, whole := range []parquet.TokensRow{all[0], all[3]} {
		var ids, labels []int32
		for _, row := range rows {
			if row.Row != whole.Row {
				continue
			}
			if !strings.HasPrefix(row.ID, whole.ID+"#") || len(row.InputIDs) > 50 {
				t.Errorf("piece %s of %d tokens", row.ID, len(row.InputIDs))
			}
			for i := range row.InputIDs {
				// The text is cut with its tokens: every token spans the bytes that it did.
				if got, want := row.Text[row.TokenStart[i]:row.TokenEnd[i]], whole.Text[whole.TokenStart[len(ids)]:whole.TokenEnd[len(ids)]]; got != want {
					t.Fatalf("%s: token %d spans %q, was %q", row.ID, i, got, want)
				}
				ids, labels = append(ids, row.InputIDs[i]), append(labels, row.Labels[i])
			}
		}
		if !slices.Equal(ids, whole.InputIDs) || !slices.Equal(labels, whole.Labels) {
			t.Errorf("%s: the pieces do not make up the row", whole.ID)
		}
	}
}

// numbered is a corpus of n chats of distinct content, in lines.
func numbered(n int) []string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":"r%d","messages":[{"role":"user","content":"Tell me %d"},{"role":"assistant","content":"It is %d"}]}`, i, i, i))
	}
	return lines
}

func ids(rows []parquet.TokensRow) (out []string) {
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

func TestShuffle(t *testing.T) {
	l := chatML(t)
	lines := numbered(500)
	in := write(t, "in.jsonl", strings.Join(lines, "\n"))
	run := func(seed uint64, threads, shards int) []string {
		o := options(t.TempDir(), in)
		o.Shuffle, o.Threads, o.Shards = &seed, threads, shards
		rows, _ := made(t, l, o)
		return ids(rows)
	}
	a, b, other := run(1, 1, 1), run(1, 3, 4), run(2, 1, 1)
	if !slices.Equal(a, b) || slices.Equal(a, other) {
		t.Error("the order depends on something else than the seed, or not on it")
	}
	kept := 0
	for i, id := range a {
		if id == fmt.Sprintf("r%d", i) {
			kept++
		}
	}
	sorted := slices.Sorted(slices.Values(a))
	if len(slices.Compact(sorted)) != 500 || kept > 10 {
		t.Errorf("%d rows, %d at their place", len(sorted), kept)
	}
}

// Sorted runs of more records than memory is to hold merge into the order that
// one run has.
func TestShuffleRuns(t *testing.T) {
	one, _ := newShuffler(7, t.TempDir())
	many, _ := newShuffler(7, t.TempDir())
	defer one.close()
	defer many.close()
	for n := range uint64(1000) {
		raw := []byte(strings.Repeat("x", int(n)))
		one.add(n, 0, int64(n), nil, raw)
		many.add(n, 0, int64(n), nil, raw)
		if n%90 == 0 {
			many.flush()
		}
	}
	order := func(s *shuffler) (out []int64) {
		err := s.each(func(_ int, row int64, _, raw []byte) error {
			if int64(len(raw)) != row {
				t.Fatalf("row %d has %d bytes", row, len(raw))
			}
			out = append(out, row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := order(one), order(many); !slices.Equal(a, b) || len(a) != 1000 {
		t.Errorf("%d and %d records, another order", len(a), len(b))
	}
}

func TestSplit(t *testing.T) {
	l := chatML(t)
	lines := numbered(1000)
	lines = append(lines, lines[:100]...) // copies, which must not be on both sides
	run := func(lines []string) (train, held []string) {
		o := options(t.TempDir(), write(t, "in.jsonl", strings.Join(lines, "\n")))
		var err error
		if o.Split, err = ParseSplit([]string{"held-out=10%"}); err != nil {
			t.Fatal(err)
		}
		sets, _, err := Run(context.Background(), l, o)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := sets[0].Manifest.Ledger, sets[1].Manifest.Ledger; len(sets) != 2 || a.RowsIn+b.RowsIn != int64(len(lines)) || a.RowsOut+b.RowsOut != int64(len(lines)) {
			t.Errorf("ledgers %+v and %+v of %d rows", a, b, len(lines))
		}
		if filepath.Base(sets[0].Dir) != "train" || filepath.Base(sets[1].Dir) != "held-out" {
			t.Errorf("folders %s, %s", sets[0].Dir, sets[1].Dir)
		}
		return ids(rowsOf(t, sets[0].Dir)), ids(rowsOf(t, sets[1].Dir))
	}
	train, held := run(lines)
	for _, id := range held {
		if slices.Contains(train, id) {
			t.Errorf("%s is on both sides", id)
		}
	}
	if n := len(held); n < 80 || n > 150 {
		t.Errorf("%d of 1100 rows for 10%%", n)
	}
	// Another order and further rows move none.
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	_, again := run(append(lines, `{"id":"x","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y z"}]}`))
	again = slices.DeleteFunc(again, func(id string) bool { return id == "x" })
	if slices.Sort(held); !slices.Equal(held, slices.Sorted(slices.Values(again))) {
		t.Error("rows moved to another split")
	}
	for _, arg := range []string{"held-out", "held-out=0", "held-out=100%", "train=2%", "a/b=2%", "a=60%,b=40%", "a=1%,a=2%", "=2%"} {
		if _, err := ParseSplit([]string{arg}); cli.Code(err) != cli.ExitUsage {
			t.Errorf("--split %s: %v", arg, err)
		}
	}
}

// sentences makes n texts of words drawn at random, and after every fifth a copy
// of it with a word changed.
func sentences(n int) []string {
	rng := rand.New(rand.NewPCG(3, 4))
	var out []string
	for i := range n {
		var words []string
		for range 120 {
			words = append(words, fmt.Sprintf("w%d", rng.IntN(5000)))
		}
		text := strings.Join(words, " ")
		out = append(out, fmt.Sprintf(`{"id":"r%d","text":"%s"}`, i, text))
		if i%5 == 0 {
			words[60] = "changed"
			out = append(out, fmt.Sprintf(`{"id":"near%d","text":"%s"}`, i, strings.ToUpper(strings.Join(words, " "))), fmt.Sprintf(`{"id":"copy%d","text":"%s"}`, i, text))
		}
	}
	return out
}

func TestDedup(t *testing.T) {
	l := chatML(t)
	in := write(t, "in.jsonl", strings.Join(sentences(100), "\n"))
	for _, c := range []struct {
		arg         string
		exact, near int64
	}{{"exact", 20, 0}, {"near=0.8", 20, 20}, {"near=1", 20, 0}} {
		var first []string
		for _, threads := range []int{1, 3} {
			o := options(t.TempDir(), in)
			o.Threads, o.Shards, o.MaxReject = threads, 3, 0
			var err error
			if o.Dedup, err = ParseDedup([]string{c.arg}); err != nil {
				t.Fatal(err)
			}
			sets, _, err := Run(context.Background(), l, o)
			if err != nil {
				t.Fatal(err)
			}
			g := sets[0].Manifest.Ledger
			if g.Dropped[duplicate] != c.exact || g.Dropped[nearDuplicate] != c.near || g.RowsIn != 140 {
				t.Errorf("%s: ledger %+v", c.arg, g)
			}
			rows := ids(rowsOf(t, o.Out))
			if first == nil {
				first = rows
			}
			if !slices.Equal(rows, first) || slices.Contains(rows, "copy0") {
				t.Errorf("%s: other rows with %d threads, or a copy among them", c.arg, threads)
			}
			whole := folder(t, o.Out)
			if r := whole["rejects.jsonl"]; !strings.Contains(r, `"reason":"duplicate","detail":"the same content as in.jsonl, record 0"`) {
				t.Errorf("%s: rejects %.300s", c.arg, r)
			}
			if threads != 1 {
				continue
			}
			// A run that goes on knows the rows of the shards that it does not make.
			o.Out = stopped(t, l, o)
			if _, _, err := Run(context.Background(), l, o); err != nil {
				t.Fatal(err)
			}
			sameFolder(t, c.arg+", resumed", folder(t, o.Out), whole)
		}
	}
	for _, arg := range []string{"", "fuzzy", "near=2", "near=x", "exact=1"} {
		if _, err := ParseDedup([]string{arg}); cli.Code(err) != cli.ExitUsage {
			t.Errorf("--dedup %s: %v", arg, err)
		}
	}
}

// stopped is the folder of a run of o that was stopped after its first shard.
func stopped(t *testing.T, l *Language, o Options) string {
	t.Helper()
	o.Out = t.TempDir()
	o.MaxReject = -1 // the gate ends the run before the parts go
	r := &run{l: l, o: &o, dirs: o.dirs()}
	var err error
	if r.sources, err = findSources(o.Inputs, nil, o.Out); err != nil {
		t.Fatal(err)
	}
	if _, err := r.read(); err != nil {
		t.Fatal(err)
	}
	if err := r.shards(context.Background()); cli.Code(err) != cli.ExitGate {
		t.Fatal(err)
	}
	for i := 1; i < o.Shards; i++ {
		if err := os.Remove(r.shardPath(0, i)); err != nil {
			t.Fatal(err)
		}
	}
	return o.Out
}

// Estimates of the similarity are as near to it as 128 hashes allow.
func TestSignatures(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, changed := range []int{0, 2, 5, 20} {
		words := make([]string, 400)
		for i := range words {
			words[i] = fmt.Sprintf("w%d", rng.IntN(100000))
		}
		other := slices.Clone(words)
		for range changed {
			other[rng.IntN(400)] = fmt.Sprintf("c%d", rng.IntN(100000))
		}
		shingles := func(w []string) map[string]bool {
			m := map[string]bool{}
			for i := range len(w) - shingleWords + 1 {
				m[strings.Join(w[i:i+shingleWords], " ")] = true
			}
			return m
		}
		a, b := shingles(words), shingles(other)
		common := 0
		for s := range a {
			if b[s] {
				common++
			}
		}
		want := float64(common) / float64(len(a)+len(b)-common)
		got := signatureOf(dict("text", strings.Join(words, " "))).similarity(signatureOf(dict("text", strings.Join(other, ", "))))
		if d := got - want; d > 0.13 || d < -0.13 { // three standard errors
			t.Errorf("%d words changed: estimated %.3f, is %.3f", changed, got, want)
		}
	}
}
