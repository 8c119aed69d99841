// Package report describes the confident conflicts of an annotated dataset:
// targets to which the model gives little probability although it is sure of
// something else. It reads scores, and through them the tokens; no model.
package report

import (
	"encoding/json"
	"io"
	"math"

	"eaft/eaft"
)

// Options of Build.
type Options struct {
	Scores      string          // folder of a scores/1 dataset
	Tokens      string          // folder of its tokens/1; "": where the scores' manifest says
	Thresholds  eaft.Thresholds // how the cuts are found
	Estimator   eaft.Estimator  // of the gate entropy h
	Worst       int             // rows to show
	Pairs       int             // pairs to show
	Calibration string          // folder of scores of ordinary text by the same model; "": none
	WhatIf      []eaft.Cuts     // other cuts to count with; MinMass is Thresholds'
	Shown       int             // rows to keep whole for HTML
	Log         io.Writer       // for the progress; nil: none
}

// Num is a float64 that is null in JSON where it is undefined.
type Num float64

var nan = math.NaN()

// probability is that of a stored logarithm.
func probability(logprob float32) Num { return Num(math.Exp(float64(logprob))) }

// MarshalJSON writes null for NaN and infinities.
func (n Num) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}

// Num32 is a stored float32, in JSON with its own fewer digits, that is null there
// where it is undefined.
type Num32 float32

// MarshalJSON writes null for NaN and infinities.
func (n Num32) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(float32(n))
	}
	return []byte("null"), nil
}

// Cuts are the thresholds as applied, and how they were found.
type Cuts struct {
	Prob       Num            `json:"prob"`
	H          Num            `json:"h"`
	MinMass    Num            `json:"min_mass"`
	Thresholds string         `json:"thresholds"` // as --thresholds takes it
	Estimator  eaft.Estimator `json:"estimator"`
}

// cuts are c as applied. Quantiles of nothing, below which nothing is, are undefined.
func (o *Options) cuts(c eaft.Cuts) Cuts {
	prob, h := Num(c.Prob), Num(c.H)
	if prob < 0 {
		prob, h = Num(nan), Num(nan)
	}
	return Cuts{prob, h, Num(c.MinMass), o.Thresholds.String(), o.Estimator}
}

// Report is everything that is said about a dataset. Means are over the
// trained targets, logarithms natural.
type Report struct {
	Rows         int64        `json:"rows"`
	Targets      int64        `json:"targets"`
	MeanLogProb  Num          `json:"mean_logprob"`
	MeanH        Num          `json:"mean_h"`
	Correlation  Num          `json:"topk_full_correlation"` // Pearson, top-K entropy with entropy
	MeanTopKMass Num          `json:"mean_topk_mass"`
	Cuts         Cuts         `json:"cuts"`
	Conflicts    int64        `json:"conflicts"`
	ConflictRate Num          `json:"conflict_rate"` // of the targets
	RateLow      Num          `json:"conflict_rate_low"`
	RateHigh     Num          `json:"conflict_rate_high"` // 95% interval, rows resampled
	Counted      string       `json:"counted"`            // which targets: trained
	K            int          `json:"k"`
	ConflictRows int64        `json:"conflict_rows"` // rows with a conflict
	ConflictLoss Num          `json:"conflict_loss"` // sum of -logprob over conflicts
	Loss         Num          `json:"loss"`          // sum of -logprob over targets
	SureShare    Num          `json:"sure_share"`    // of targets with h < 0.01
	FlatShare    Num          `json:"flat_share"`    // of targets with top-K mass < 0.9
	MarkupShare  Num          `json:"markup_share"`  // of the sum of 1-h, what stands on markup tokens
	Quantiles    Quantiles    `json:"quantiles"`
	Plane        Plane        `json:"plane"`
	Why          []Why        `json:"why"` // empty without a vocabulary
	Gates        []Gate       `json:"gates"`
	WhatIf       []WhatIf     `json:"what_if"`
	BySource     []Group      `json:"by_source"`
	ByRole       []Group      `json:"by_role"`
	ByTurn       []Group      `json:"by_turn"`
	ByPosition   []Group      `json:"by_position"`
	ByClass      []Group      `json:"by_class"`
	WorstRows    []Row        `json:"worst_rows"`
	Pairs        []Pair       `json:"pairs"`
	PairsTotal   int          `json:"pairs_total"`  // distinct pairs
	PairsLost    int64        `json:"pairs_lost"`   // how much too small a pair's count may be
	RepeatsLost  int64        `json:"repeats_lost"` // and how many rows a repeated conflict may lack
	Calibration  *Calibration `json:"calibration"`  // null without one
	Warnings     []string     `json:"warnings"`
	Tokens       string       `json:"tokens,omitempty"` // folder that the context comes from
	Made         Made         `json:"made"`
	spelled      bool         // a vocabulary was found
	grid         grid
	shown        []shownRow
}

// Made says what the scores were made of and by what, as their manifest has it.
type Made struct {
	Name      string `json:"name,omitempty"` // of the model's file or folder; "" where it is not said
	Model     string `json:"model"`          // hashes
	Tokens    string `json:"tokens"`
	Tokenizer string `json:"tokenizer"`
	DType     string `json:"dtype"`
	ISA       string `json:"isa"`
	Version   string `json:"version"` // of eaft
}

// Quantiles of the targets, within eaft.SketchError of the order statistics.
type Quantiles struct {
	Prob []Quantile `json:"prob"`
	H    []Quantile `json:"h"`
}

// Quantile is one of them.
type Quantile struct {
	Q     float64 `json:"q"`
	Value Num     `json:"value"`
}

// WhatIf is the count under other cuts.
type WhatIf struct {
	Prob         Num   `json:"prob"`
	H            Num   `json:"h"`
	Conflicts    int64 `json:"conflicts"`
	ConflictRate Num   `json:"conflict_rate"`
	ConflictLoss Num   `json:"conflict_loss"`
}

// Row is a row with conflicts.
type Row struct {
	Row          int64   `json:"row"` // index in the dataset, from 0
	ID           string  `json:"id"`
	Source       string  `json:"source,omitempty"`
	Targets      int     `json:"targets"`
	Conflicts    int     `json:"conflicts"`
	ConflictLoss Num     `json:"conflict_loss"`
	Pieces       []Piece `json:"pieces"`
}

// Piece is a stretch of a row: text around conflicts, or one conflict. Text is
// printable: control characters and wrong bytes are spelled out.
type Piece struct {
	Text     string    `json:"text"`
	Skipped  int       `json:"skipped,omitempty"` // tokens left out here instead of text
	Conflict *Conflict `json:"conflict,omitempty"`
}

// Conflict is one confident conflict.
type Conflict struct {
	Pos          int32  `json:"pos"`
	Token        int32  `json:"token"`
	Prob         Num    `json:"prob"`
	H            Num    `json:"h"`
	Expected     int32  `json:"expected"`
	ExpectedText string `json:"expected_text"`
	ExpectedProb Num    `json:"expected_prob"`
}

// Pair counts how often the model expected one token and the data gave another.
type Pair struct {
	Expected         int32  `json:"expected"`
	Given            int32  `json:"given"`
	ExpectedText     string `json:"expected_text"`
	GivenText        string `json:"given_text"`
	Count            int64  `json:"count"`
	MeanExpectedProb Num    `json:"mean_expected_prob"`
	MeanGivenProb    Num    `json:"mean_given_prob"`
}

// JSON writes a Report, or what else this package has, as indented JSON.
func JSON(w io.Writer, r any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
