package report

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"
)

func TestClasses(t *testing.T) {
	unknown := &token{}
	for _, c := range []struct {
		previous, text string
		special        bool
		want           int
	}{
		{"", " Paris", false, classStart}, {"Par", "is", false, classInside}, {"\n", "The", false, classStart}, {" don", "'t", false, classInside},
		{"4", "2", false, classDigit}, {"", " 1,000", false, classDigit}, {"", " \n", false, classSpace}, {"a", ".", false, classPunct}, {"a", ">>", false, classMarkup},
		{"a", " <<", false, classMarkup}, {"", "</div", false, classStart}, {"", "<|im_end|>", true, classMarkup}, {"", "\xe6", false, classInside}, {"日", "本", false, classInside},
	} {
		previous := describeToken([]byte(c.previous), false)
		given := describeToken([]byte(c.text), c.special)
		if got := given.class(&previous); got != c.want {
			t.Errorf("%q after %q is %s, want %s", c.text, c.previous, classNames[got], classNames[c.want])
		}
	}
	if got := unknown.class(unknown); got != classUnknown {
		t.Errorf("no spelling: %s", classNames[got])
	}
}

func TestWhy(t *testing.T) {
	for _, c := range []struct {
		given, expected string
		outside         bool
		want            int
	}{
		{" <<", " ", false, whyFormat}, {".", " and", false, whyFormat}, {" Lyon", " Paris", true, whyFormat}, {"\n", " Paris", false, whyArtefact},
		{" Par", " Paris", false, whyArtefact}, {"12", "1", false, whyArtefact}, {" Paris", "Paris", false, whyVariant}, {" paris", " Paris", false, whyVariant},
		{" colour", " color", false, whyVariant}, {" recieve", " receive", false, whyVariant}, {" later", " water", false, whyContent}, {" Drela", " Drala", false, whyContent},
		{" 5", " 7", false, whyNumber}, {" Lyon", " Paris", false, whyContent}, {" 5", " five", false, whyContent}, {"\xa9", "\xc3", false, whyContent},
	} {
		given, expected := describeToken([]byte(c.given), false), describeToken([]byte(c.expected), false)
		if got := why(&given, &expected, c.outside); got != c.want {
			t.Errorf("%q where %q was expected: %d, want %s", c.given, c.expected, got, whyNames[c.want])
		}
	}
	special, word := describeToken([]byte("<eos>"), true), describeToken([]byte(" a"), false)
	if why(&special, &word, false) != whyFormat || why(&word, &special, false) != whyFormat {
		t.Error("a special token is format")
	}
	if got := why(&word, &token{}, false); got != whyUndecided {
		t.Errorf("no spelling: %d", got)
	}
}

// A conflict in three rows after the same tokens is repeated, in two it is not.
func TestRepeated(t *testing.T) {
	row := func(id string, given int32) testRow {
		return testRow{id, "s", []int32{5, 6, given}, []int32{-100, 6, given}, []target{{1, .9, .5, 1, 1, 6, .9}, {2, .01, .01, 1, .1, 8, .9}}}
	}
	for n, want := range map[int]int64{2: 0, 3: 3, 5: 5} {
		var rows []testRow
		for i := range n {
			rows = append(rows, row(string(rune('a'+i)), 1))
		}
		rows = append(rows, row("other", 5))
		scores, _ := write(t, rows, "all")
		for _, w := range build(t, options(t, scores, "p<=0.05,h<=0.15")).Why {
			if w.Why == "repeated" && (w.Conflicts != want || want > 0 && (w.Examples[0].Rows != want || w.Examples[0].GivenText != "·Lyon")) {
				t.Errorf("%d rows: repeated %+v", n, w)
			}
			if w.Why == "content" && w.Conflicts != int64(n)+1-want {
				t.Errorf("%d rows: content %+v", n, w)
			}
		}
	}
}

// The reasons of export and filter are the report's: as many targets have each.
func TestReasonsAreTheReports(t *testing.T) {
	row := func(id string, given, expected int32) testRow {
		return testRow{id, "s", []int32{5, 6, given, 6}, []int32{-100, 6, given, 6}, []target{{1, .9, .5, 1, 1, 6, .9}, {2, .01, .01, 1, .1, expected, .9}, {3, .9, .5, 1, 1, 6, .9}}}
	}
	rows := []testRow{row("other", 5, 8)}
	for _, id := range []string{"a", "b", "c", "d"} {
		rows = append(rows, row(id, 1, 8), row(id+"x", 5, 100)) // 100 is in no vocabulary
	}
	rows = append(rows, random(60)...)
	scores, _ := write(t, rows, "all")
	o := options(t, scores, "p<=0.3,h<=0.3")
	r := build(t, o)
	seen := 0
	for _, w := range r.Why {
		where, err := ParseWhere("conflict and why=" + w.Why)
		must(t, err)
		var out bytes.Buffer
		must(t, Export(t.Context(), &out, o, where, "jsonl"))
		if n := int64(bytes.Count(out.Bytes(), []byte("\n"))); n != w.Conflicts || n != int64(bytes.Count(out.Bytes(), []byte(`"why":"`+w.Why+`"`))) {
			t.Errorf("%s: %d targets are exported, the report has %d", w.Why, n, w.Conflicts)
		}
		f, err := Filter(t.Context(), o, where, MaskTokens, filepath.Join(t.TempDir(), "out"))
		must(t, err)
		if f.Masked != w.Conflicts {
			t.Errorf("%s: %d targets are masked, the report has %d", w.Why, f.Masked, w.Conflicts)
		}
		if w.Conflicts > 0 {
			seen++
		}
		if w.Why == "repeated" && w.Conflicts < 4 || w.Why == "unknown" && w.Conflicts < 4 {
			t.Errorf("%s: %d conflicts", w.Why, w.Conflicts)
		}
	}
	if seen < 4 || len(r.Why) != len(whyNames) {
		t.Errorf("%d of %d reasons have conflicts: %+v", seen, len(r.Why), r.Why)
	}
}

// Counts are too small by lost at most, and whatever counts more is there.
func TestFrequent(t *testing.T) {
	type counter struct{ n int64 }
	exact := map[int]int64{}
	f := newFrequent[int](50, func(c *counter) int64 { return c.n })
	add := func(k int) {
		exact[k]++
		c, _ := f.at(k)
		c.n++
	}
	for i := range 20000 {
		add(i % 7)
		add(1000 + i%23*i%11)
		add(100000 + i)
	}
	if len(f.entries) > 50 || f.lost == 0 {
		t.Errorf("%d entries, lost %d", len(f.entries), f.lost)
	}
	for k, n := range exact {
		have := int64(0)
		if c := f.entries[k]; c != nil {
			have = c.n
		}
		if have > n || have < n-f.lost {
			t.Errorf("%d: %d of %d, lost %d", k, have, n, f.lost)
		}
	}
}

// The weights are Poisson(1): mean and variance 1, within four standard errors.
func TestResample(t *testing.T) {
	const rows = 5000
	var sum, square float64
	var w [Replicates]uint8
	for i := range int64(rows) {
		resample(i, &w)
		for _, x := range w {
			sum += float64(x)
			square += float64(x) * float64(x)
		}
	}
	n := float64(rows * Replicates)
	mean := sum / n
	if variance := square/n - mean*mean; math.Abs(mean-1) > 4/math.Sqrt(n) || math.Abs(variance-1) > 4*math.Sqrt(3/n) {
		t.Errorf("mean %v, variance %v", mean, variance)
	}
}

// The interval of the bootstrap is about what theory says: the rate of rows
// with independent conflicts, plus and minus 1.96 standard errors.
func TestIntervalWidth(t *testing.T) {
	var g group
	var r rowGroups
	const rows, each = 4000, 10
	for i := range int64(rows) {
		r.touch(&g)
		for k := range int64(each) {
			r.add(&g, (i*7919+k*104729)%10007 < 1000, 0, 0)
		}
		r.end(i)
	}
	low, high := g.interval()
	rate := float64(g.conflicts) / float64(g.targets)
	// Rows differ by k alone, so the spread between rows is what it is: measure it.
	var ss float64
	for i := range int64(rows) {
		c := 0.0
		for k := range int64(each) {
			if (i*7919+k*104729)%10007 < 1000 {
				c++
			}
		}
		ss += (c - each*rate) * (c - each*rate)
	}
	se := math.Sqrt(ss) / (rows * each)
	if got := float64(high - low); math.Abs(got/(2*1.96*se)-1) > 0.25 || float64(low) > rate || float64(high) < rate {
		t.Errorf("interval %v to %v around %v, theory %v wide", low, high, rate, 2*1.96*se)
	}
}
