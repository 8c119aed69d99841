package report

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/chromedp/chromedp"

	"eaft/parquet"
)

func unpacked[T uint32 | float32](t *testing.T, s string) []T {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	must(t, err)
	x := make([]T, len(b)/4)
	_, err = binary.Decode(b, binary.LittleEndian, x)
	must(t, err)
	return x
}

// What a hover shows is in the page: the stored tokens of each target, in order.
func TestLikeliestOnThePage(t *testing.T) {
	scores, _ := writeTopK(t, small, "all", 3)
	o := options(t, scores, "p<=0.05,h<=0.15")
	o.Shown = 10
	r := build(t, o)
	vocab, err := openVocabulary(&parquet.Dataset{Dir: scores})
	must(t, err)
	p := newPage(r)
	ids, probs := unpacked[uint32](t, p.Likeliest), unpacked[float32](t, p.LikeliestProbs)
	k := 0
	for _, row := range r.shown {
		for _, g := range small[row.Row].targets {
			if small[row.Row].labels[g.pos] == -100 {
				continue
			}
			for j := range 3 {
				want := vocab.token((g.top1 + int32(j)) % 9)
				if got := p.Strings[ids[k]]; got != want || math.Abs(float64(probs[k])-g.pTop1/float64(int(1)<<j)) > 1e-6 {
					t.Errorf("row %s, pos %d, entry %d: %q with %v, want %q", row.ID, g.pos, j, got, probs[k], want)
				}
				k++
			}
		}
	}
	if k == 0 || len(ids) != k || p.StoreTopK != 3 {
		t.Errorf("%d tokens of %d, store_topk %d", len(ids), k, p.StoreTopK)
	}
	plain, _ := write(t, small, "all")
	o = options(t, plain, "p<=0.05,h<=0.15")
	o.Shown = 10
	if p := newPage(build(t, o)); p.StoreTopK != 0 || p.Likeliest != "" {
		t.Errorf("%q where nothing is stored", p.Likeliest)
	}

	ctx := browser(t, writePage(t, r), 1100, 900)
	must(t, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#rows article:not([hidden])").scrollIntoView()`)))
	until(t, ctx, `document.querySelector("#rows .x") !== null`)
	time.Sleep(200 * time.Millisecond) // a scroll hides the tip
	box := evaluate[[]float64](t, ctx, `(() => { const b = document.querySelector("#rows .x").getClientRects()[0]; return [b.left + b.width / 2, b.top + b.height / 2] })()`)
	must(t, chromedp.Do(ctx, chromedp.MouseEvent("mouseMoved", box[0], box[1])))
	until(t, ctx, "!tip.hidden")
	lines := evaluate[[]string](t, ctx, `[...tip.children].map(d => d.textContent)`)
	for j := range 3 {
		want := string(rune('1'+j)) + ". " + evaluate[string](t, ctx, `data.strings[T.likeliest[+document.querySelector("#rows .x").dataset.k * 3 + `+string(rune('0'+j))+`]]`)
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) && strings.HasSuffix(l, "%") }) {
			t.Errorf("the tip is %q, want %q", lines, want)
		}
	}
}

func TestLikeliestOfARow(t *testing.T) {
	scores, _ := writeTopK(t, small, "all", 2)
	row, err := FindRow(t.Context(), options(t, scores, "p<=0.05,h<=0.15"), "a")
	must(t, err)
	vocab, err := openVocabulary(&parquet.Dataset{Dir: scores})
	must(t, err)
	got := row.Tokens[1].Likeliest
	if len(got) != 2 || got[0].Token != 8 || got[1].Token != 0 || got[1].Text != vocab.token(0) || math.Abs(float64(got[1].Prob)-.465) > 1e-6 || row.Tokens[0].Likeliest != nil {
		t.Errorf("likeliest: %+v", got)
	}
	var b bytes.Buffer
	must(t, row.Text(&b, false))
	if want := "likeliest: " + vocab.token(8) + " 93.0%  " + vocab.token(0) + " 46.5%"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

func TestLikeliestExported(t *testing.T) {
	scores, _ := writeTopK(t, small, "all", 2)
	o := options(t, scores, "p<=0.05,h<=0.15")
	out := map[string]*bytes.Buffer{}
	for _, format := range Formats {
		out[format] = &bytes.Buffer{}
		must(t, Export(t.Context(), out[format], o, Where{}, format))
	}
	var want []Target
	for d := json.NewDecoder(out["jsonl"]); d.More(); {
		var x Target
		must(t, d.Decode(&x))
		if len(x.TopKID) != 2 || len(x.TopKText) != 2 || x.TopKID[0] != x.Expected || x.TopKText[0] != x.ExpectedText || x.TopKID[1] != (x.Expected+1)%9 ||
			math.Abs(math.Exp(float64(x.TopKLogProb[0]))-float64(x.ExpectedProb)) > 1e-6 {
			t.Errorf("%+v", x)
		}
		want = append(want, x)
	}
	table, err := csv.NewReader(out["csv"]).ReadAll()
	must(t, err)
	r, err := ipc.NewReader(out["arrow"])
	must(t, err)
	defer r.Release()
	if !r.Next() || int(r.RecordBatch().NumRows()) != len(want) || len(table) != len(want)+1 || len(want) == 0 {
		t.Fatalf("%d targets, %d lines of CSV, Arrow %v", len(want), len(table), r.Err())
	}
	batch := r.RecordBatch()
	for c, name := range []string{"topk_id", "topk_text", "topk_logprob"} {
		c += len(columns)
		if batch.ColumnName(c) != name || table[0][c] != name {
			t.Fatalf("column %d is %s and %s", c, batch.ColumnName(c), table[0][c])
		}
		list := batch.Column(c).(*array.List)
		for i, x := range want {
			spelled, err := json.Marshal([]any{x.TopKID, x.TopKText, x.TopKLogProb}[c-len(columns)])
			must(t, err)
			inArrow, err := json.Marshal(list.GetOneForMarshal(i))
			must(t, err)
			if table[i+1][c] != string(spelled) || string(inArrow) != string(spelled) {
				t.Errorf("target %d, %s: CSV %s, Arrow %s, want %s", i, name, table[i+1][c], inArrow, spelled)
			}
		}
	}
}

// A text that is a part of a character is the same in all formats.
func TestExportedBytes(t *testing.T) {
	x := &Target{ID: "\xc3", Text: " \xe2\x89", ExpectedText: "\xe2\x89\xa0\xf0\x9f", TopKText: []string{"\xf0\x9f\x98"}}
	data, err := json.Marshal(x)
	must(t, err)
	var want Target
	must(t, json.Unmarshal(data, &want))
	v := x.values()
	for i, text := range map[int]string{1: want.ID, 6: want.Text, 16: want.ExpectedText} {
		if v[i] != text || !utf8.ValidString(text) {
			t.Errorf("column %d is %q, in JSON lines %q", i, v[i], text)
		}
	}
	if have := v[21].([]string); !slices.Equal(have, want.TopKText) {
		t.Errorf("topk_text is %q, in JSON lines %q", have, want.TopKText)
	}
}
