package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"eaft/eaft"
)

// browser opens a page in a headless Chromium; without one the test is skipped.
func browser(t *testing.T, path string, width, height int) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Skip("no chromium")
	}
	flags := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	flags = append(flags, chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(width, height))
	for _, f := range []string{"no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"} {
		flags = append(flags, chromedp.Flag(f, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate("file://"+path), chromedp.WaitReady("#rows")))
	return ctx
}

func evaluate[T any](t *testing.T, ctx context.Context, js string) (v T) {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	must(t, err)
	return v
}

// until waits for what the page does in its own time.
func until(t *testing.T, ctx context.Context, js string) {
	t.Helper()
	for range 100 {
		if evaluate[bool](t, ctx, js) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it never happens that %s", js)
}

func writePage(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	must(t, HTML(&b, r))
	path := filepath.Join(t.TempDir(), "report.html")
	must(t, os.WriteFile(path, b.Bytes(), 0o666))
	return path
}

// What the page counts, shows and filters must be what Build says.
func TestPage(t *testing.T) {
	rows := random(200)
	for i := range rows {
		rows[i].source = []string{"even.jsonl", "odd.jsonl"}[i%2]
	}
	scores, _ := write(t, rows, "all")
	o := options(t, scores, "p<=0.5,h<=0.4")
	o.Shown = 2000
	r := build(t, o)
	ctx := browser(t, writePage(t, r), 1100, 900)

	if made := evaluate[string](t, ctx, `document.getElementById("made").textContent`); made != "Scored by the model "+r.Made.Name+" (0123456789ab) in f32 on generic, eaft test; tokens "+brief(r.Made.Tokens)+"." {
		t.Errorf("made: %q", made)
	}
	if shown := evaluate[string](t, ctx, `document.getElementById("pairs-shown").textContent`); shown != fmt.Sprintf("%d of %s pairs", len(r.Pairs), thousands(int64(r.PairsTotal))) {
		t.Errorf("pairs: %q", shown)
	}
	counted := func() int64 {
		return evaluate[int64](t, ctx, `+document.getElementById("count").textContent.replaceAll(",","")`)
	}
	if got := counted(); got != r.Conflicts || got == 0 {
		t.Errorf("the page counts %d conflicts, the report %d", got, r.Conflicts)
	}
	shown := `document.querySelectorAll("#rows article:not([hidden])").length`
	if got := evaluate[int64](t, ctx, shown); got != r.ConflictRows {
		t.Errorf("%d rows shown, %d have conflicts", got, r.ConflictRows)
	}

	// The slider, by keyboard.
	must(t, chromedp.Do(ctx, chromedp.Focus("#cut-p"), chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft), chromedp.Focus("#cut-h"), chromedp.KeyEvent(kb.ArrowRight)))
	o.WhatIf = []eaft.Cuts{{Prob: evaluate[float64](t, ctx, "PE[cut.p]"), H: evaluate[float64](t, ctx, "HE[cut.h]")}}
	if o.WhatIf[0].Prob >= 0.5 || o.WhatIf[0].H <= 0.4 {
		t.Errorf("the sliders are at %+v", o.WhatIf[0])
	}
	moved := build(t, o).WhatIf[0].Conflicts
	if got := counted(); got != moved || moved == r.Conflicts {
		t.Errorf("after moving the cuts %d conflicts, want %d", got, moved)
	}
	inRows := evaluate[int64](t, ctx, `rows.reduce((n, r) => { for (let k = r.first; k < r.first + r.n; k++) n += isConflict(k); return n }, 0)`)
	// Rows without a conflict under the report's cuts are not on the page.
	if inRows > moved || inRows == 0 {
		t.Errorf("%d conflicts in the rows, %d in all", inRows, moved)
	}
	must(t, chromedp.Do(ctx, chromedp.Click("#reset")))
	if got := counted(); got != r.Conflicts {
		t.Errorf("%d conflicts after the reset", got)
	}

	// Filters.
	must(t, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.getElementById("f-source").value = "odd.jsonl"; document.getElementById("filter").dispatchEvent(new Event("input"))`)))
	if got := evaluate[int64](t, ctx, `[...document.querySelectorAll("#rows article:not([hidden])")].filter(a => a.dataset.row % 2 === 0).length`); got != 0 {
		t.Errorf("%d even rows among the odd", got)
	}
	odd := evaluate[int64](t, ctx, shown)
	if odd == 0 || odd >= r.ConflictRows {
		t.Errorf("%d rows of one source", odd)
	}
	must(t, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.getElementById("f-source").value = ""; document.getElementById("f-why").value = "5"; document.getElementById("filter").dispatchEvent(new Event("input"))`)))
	content := evaluate[int64](t, ctx, `+document.getElementById("shown").textContent.match(/([\d,]+) conflicts in them/)[1].replaceAll(",","")`)
	for _, w := range r.Why {
		if w.Why == "content" && (w.Conflicts != content || content == 0) {
			t.Errorf("%d content conflicts in the rows, the report has %d", content, w.Conflicts)
		}
	}

	// Hover, touch and keyboard.
	must(t, chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#rows article:not([hidden])").scrollIntoView()`)))
	until(t, ctx, `document.querySelector("#rows .x.m") !== null`)
	time.Sleep(200 * time.Millisecond) // the scroll hides the tip
	box := evaluate[[]float64](t, ctx, `(() => { const b = document.querySelector("#rows .x.m").getClientRects()[0]; return [b.left + b.width / 2, b.top + b.height / 2] })()`)
	must(t, chromedp.Do(ctx, chromedp.MouseEvent("mouseMoved", box[0], box[1])))
	until(t, ctx, "!tip.hidden")
	tip := evaluate[string](t, ctx, `tip.textContent`)
	want := evaluate[string](t, ctx, `(() => { const k = +document.querySelector("#rows .x.m").dataset.k; return data.strings[T.expected[k]] + " with p " + pct(T.sure[k]) })()`)
	if !strings.Contains(tip, want) || !strings.Contains(tip, "content") {
		t.Errorf("the tip says %q, want %q", tip, want)
	}
	must(t, chromedp.Do(ctx, chromedp.KeyEvent(kb.Escape)))
	if !evaluate[bool](t, ctx, "tip.hidden") {
		t.Error("Escape leaves the tip")
	}
	must(t, chromedp.Do(ctx, chromedp.Focus("#rows .x.m")))
	before := evaluate[int64](t, ctx, "+document.activeElement.dataset.k")
	must(t, chromedp.Do(ctx, chromedp.KeyEvent(kb.ArrowRight)))
	if got := evaluate[int64](t, ctx, "+document.activeElement.dataset.k"); got != before+1 || evaluate[bool](t, ctx, "tip.hidden") {
		t.Errorf("the arrow moves from %d to %d", before, got)
	}
	must(t, chromedp.Do(ctx, chromedp.Click(`[name=colour][value=p]`)))
	if c := evaluate[string](t, ctx, `[...document.querySelectorAll("#rows [data-k]")].map(s => s.style.backgroundColor).find(c => c)`); !strings.HasPrefix(c, "rgba(214, 60, 52") {
		t.Errorf("coloured by p: %q", c)
	}
	if n := evaluate[int64](t, ctx, `performance.getEntriesByType("resource").length`); n != 0 {
		t.Errorf("the page fetched %d things", n)
	}
}

// A page of 2,000 rows answers at once, and nothing of it is wider than a phone.
func TestPageOfManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	scores, _ := write(t, random(2100), "all")
	o := options(t, scores, "p<=0.5,h<=0.4")
	o.Shown = 2000
	r := build(t, o)
	ctx := browser(t, writePage(t, r), 390, 844)
	if n := evaluate[int64](t, ctx, `document.querySelectorAll("#rows article").length`); n != 2000 {
		t.Fatalf("%d rows", n)
	}
	if w := evaluate[int64](t, ctx, "document.documentElement.scrollWidth"); w > 390 {
		t.Errorf("the page is %d wide on a screen of 390", w)
	}
	ms := evaluate[float64](t, ctx, `Math.min(...[3, -2, 2].map(by => { const t = performance.now(); setCuts(cut.p - by, cut.h); document.body.offsetHeight; return performance.now() - t }))`)
	t.Logf("a slider takes %.0f ms with 2,000 rows", ms)
}

// What stands in the data must not become part of the page.
func TestPageEscapes(t *testing.T) {
	rows := []testRow{{"</script><script>alert(1)</script>", "<b>&", []int32{0, 1}, []int32{-100, 1}, []target{{1, .01, .05, .95, .2, 8, .93}}}}
	scores, _ := write(t, rows, "all")
	o := options(t, scores, "p<=0.05,h<=0.15")
	o.Shown = 10
	var b bytes.Buffer
	must(t, HTML(&b, build(t, o)))
	if bytes.Contains(b.Bytes(), []byte("</script><script>alert")) || bytes.Contains(b.Bytes(), []byte("<b>&")) {
		t.Error("markup of the data is markup of the page")
	}
}
