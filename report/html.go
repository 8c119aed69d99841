package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"html"
	"io"
	"strings"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// page is what the script of the HTML report reads. Its lists have one entry
// for each target of the shown rows, in order; as base64 of little-endian
// numbers they take 40 bytes a target and parse at once.
type page struct {
	Report  *Report           `json:"report"`
	Grid    grid              `json:"grid"`
	Classes []string          `json:"classes"`
	Reasons []string          `json:"reasons"`
	Means   map[string]string `json:"means"`
	Strings []string          `json:"strings"`
	Rows    []pageRow         `json:"rows"`

	Given    string `json:"given"`    // uint32: of Strings
	Expected string `json:"expected"` // uint32
	Before   string `json:"before"`   // uint32: text before each target; one more for each row, after its last
	Prob     string `json:"prob"`     // float32, as is what follows
	H        string `json:"h"`
	Mass     string `json:"mass"`
	Sure     string `json:"sure"` // probability of the expected token
	Rank     string `json:"rank"` // uint32
	Class    string `json:"class"`
	Why      string `json:"why"`

	// The likeliest tokens, StoreTopK for each target, descending; empty where the
	// scores do not store them.
	StoreTopK      int    `json:"store_topk"`
	Likeliest      string `json:"likeliest"` // uint32: of Strings
	LikeliestProbs string `json:"likeliest_probs"`
}

type pageRow struct {
	Row     int64  `json:"row"`
	ID      string `json:"id"`
	Source  string `json:"source"`
	Targets int    `json:"targets"`
}

// HTML writes r as one page that needs nothing else: no network, no other file.
func HTML(w io.Writer, r *Report) error {
	data, err := json.Marshal(newPage(r)) // escapes <, > and &
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := Text(&text, r, false); err != nil {
		return err
	}
	_, err = strings.NewReplacer("{{css}}", pageCSS, "{{js}}", pageJS, "{{data}}", string(data), "{{text}}", html.EscapeString(text.String())).WriteString(w, pageHTML)
	return err
}

func newPage(r *Report) *page {
	p := &page{Report: r, Grid: r.grid, Classes: classNames[:], Reasons: whyNames[:], Means: whyMeanings,
		Strings: []string{}, Rows: []pageRow{}}
	index := map[string]uint32{}
	text := func(s string) uint32 {
		i, ok := index[s]
		if !ok {
			i = uint32(len(p.Strings))
			index[s] = i
			p.Strings = append(p.Strings, s)
		}
		return i
	}
	var given, expected, before, rank, likeliest []uint32
	var prob, h, mass, sure, likeliestProbs []float32
	var class, why []uint8
	for _, row := range r.shown {
		p.Rows = append(p.Rows, pageRow{row.Row, row.ID, row.Source, len(row.Targets)})
		for _, b := range row.Before {
			before = append(before, text(b))
		}
		for _, t := range row.Targets {
			given, expected, rank = append(given, text(t.given)), append(expected, text(t.expected)), append(rank, uint32(t.rank))
			prob, h, mass, sure = append(prob, t.prob), append(h, t.h), append(mass, t.mass), append(sure, t.expectedProb)
			class, why = append(class, uint8(t.class)), append(why, uint8(t.why))
			p.StoreTopK = len(t.likeliest) // the same for all
			for n, s := range t.likeliest {
				likeliest, likeliestProbs = append(likeliest, text(s)), append(likeliestProbs, t.likeliestProbs[n])
			}
		}
	}
	p.Given, p.Expected, p.Before, p.Rank = packed(given), packed(expected), packed(before), packed(rank)
	p.Prob, p.H, p.Mass, p.Sure = packed(prob), packed(h), packed(mass), packed(sure)
	p.Class, p.Why = packed(class), packed(why)
	p.Likeliest, p.LikeliestProbs = packed(likeliest), packed(likeliestProbs)
	return p
}

func packed[T uint8 | uint32 | float32](x []T) string {
	b, _ := binary.Append(nil, binary.LittleEndian, x) // numbers of fixed size cannot fail
	return base64.StdEncoding.EncodeToString(b)
}
