package report

import (
	"context"
	"io"

	"eaft/internal/cli"
)

// AuditOptions of BuildAudit.
type AuditOptions struct {
	Run    string // folder of a finished run of train
	Tokens string // folder of its tokens/1; "": where the audit's manifest says
	Scores string // folder of the base annotation; "": where the audit's manifest says
	After  string // folder of scores of the same tokens by the trained model; "": none
	// Hashes of what the run has made: After must be by this model, or by the one
	// that training started from with this adapter. "": not there.
	Model, Adapter string

	Confident float64 // probability from which the base counts as sure, above 0.5
	Lost      float64 // probability below which the trained model has lost a target
	Worst     int     // lost targets to show
	Log       io.Writer
}

// DefaultAuditOptions are the defaults of the command's flags.
func DefaultAuditOptions() AuditOptions {
	return AuditOptions{Confident: 0.9, Lost: 0.5, Worst: 20}
}

// check reports a value that no audit can have. A target with a probability
// above a half is the likeliest token, whatever the others are: that is why
// Confident must be above it, and why ranks are not needed.
func (o *AuditOptions) check() error {
	switch {
	case !(o.Confident > 0.5 && o.Confident <= 1):
		return cli.Usagef("--confident %v: want a probability above 0.5, at which the target is the likeliest token", o.Confident)
	case !(o.Lost > 0 && o.Lost <= o.Confident):
		return cli.Usagef("--lost %v: want a probability above 0, up to --confident %v", o.Lost, o.Confident)
	case o.Worst < 0:
		return cli.Usagef("--worst %d: want 0 or more", o.Worst)
	}
	return nil
}

// Audit is what training did to every target. Sums are over visits: a target
// that two epochs trained counts twice. Logarithms are natural.
//
// With w the weight and p the live probability of a target at a visit, the loss
// that the weights removed is the sum of (1-w)(-ln p), of the sum of -ln p; the
// gradient that they removed is the sum of (1-w)(1-p), of the sum of 1-p. w(1-p)
// is |dL/dz| of the target's own logit z, but for the step's denominator.
type Audit struct {
	Loss        string        `json:"loss"` // --loss of the run
	Steps       int           `json:"steps"`
	Rows        int64         `json:"rows"`    // that were visited
	Targets     int64         `json:"targets"` // of these rows
	Cuts        *AuditCuts    `json:"cuts"`    // null where no annotation says them
	Total       AuditGroup    `json:"total"`
	AtConflicts AuditGroup    `json:"at_conflicts"` // the part that is at conflicts of the base
	BySource    []AuditGroup  `json:"by_source"`
	ByClass     []AuditGroup  `json:"by_class"`
	Conflicts   *AuditChanges `json:"conflicts"`   // null without base or cuts
	Drift       Num           `json:"drift"`       // of the confident targets, what is lost; null without base
	MeasuredBy  string        `json:"measured_by"` // after: the scores of --after; last visit: what training saw
	Confident   Num           `json:"confident_from"`
	Lost        Num           `json:"lost_below"`
	Epochs      []AuditEpoch  `json:"epochs"`
	Curve       []AuditPoint  `json:"curve"`
	Worst       []AuditLost   `json:"worst"`
	Missing     []string      `json:"missing"` // what could not be said, and why
	Made        AuditMade     `json:"made"`
}

// AuditMade says what was trained, on what and by what, as run.json has it.
type AuditMade struct {
	Model   string `json:"model"` // hashes; that of the model that training started from
	Tokens  string `json:"tokens"`
	Scores  string `json:"scores,omitempty"`
	After   string `json:"after,omitempty"` // of the model that the scores of --after are by
	DType   string `json:"dtype"`
	ISA     string `json:"isa"`
	Version string `json:"version"` // of eaft
	// Engines are those that made the run, where several did; ISA and Version are
	// then the last one's.
	Engines []AuditEngine `json:"engines,omitempty"`
}

// AuditEngine is what computed the steps from Step on.
type AuditEngine struct {
	Step    int    `json:"step"`
	Version string `json:"version"`
	ISA     string `json:"isa"`
}

// AuditCuts are those of the base annotation, for base and live flags alike.
type AuditCuts struct {
	Prob    Num `json:"prob"`
	H       Num `json:"h"`
	MinMass Num `json:"min_mass"`
}

// AuditGroup is a source, a class of tokens, or everything.
type AuditGroup struct {
	Name            string `json:"name"`
	Visits          int64  `json:"visits"` // of targets
	MeanWeight      Num    `json:"mean_weight"`
	Loss            Num    `json:"loss"` // sum of -ln p
	LossRemoved     Num    `json:"loss_removed"`
	LossShare       Num    `json:"loss_removed_share"` // of Loss
	Gradient        Num    `json:"gradient"`           // sum of 1-p
	GradientRemoved Num    `json:"gradient_removed"`
	GradientShare   Num    `json:"gradient_removed_share"` // of Gradient
	OfAllRemoved    Num    `json:"of_all_removed"`         // of the gradient removed everywhere, what was here
	Confident       int64  `json:"confident"`              // targets that the base was sure of
	Lost            int64  `json:"lost"`                   // of those
	Drift           Num    `json:"drift"`                  // Lost of Confident
}

// AuditChanges say what became of the base's confident conflicts.
type AuditChanges struct {
	Base       int64 `json:"base"` // resolved and persisting
	Resolved   int64 `json:"resolved"`
	Persisting int64 `json:"persisting"`
	New        int64 `json:"new"`
}

// AuditEpoch is a pass over the rows; its numbers are of what training saw.
type AuditEpoch struct {
	Epoch         int32         `json:"epoch"` // from 1
	Visits        int64         `json:"visits"`
	SFTLoss       Num           `json:"sft_loss"` // mean of -ln p
	WeightedLoss  Num           `json:"loss"`     // mean of -w ln p
	MeanWeight    Num           `json:"mean_weight"`
	LossShare     Num           `json:"loss_removed_share"`
	GradientShare Num           `json:"gradient_removed_share"`
	Conflicts     *AuditChanges `json:"conflicts"`
	Confident     int64         `json:"confident"`
	Lost          int64         `json:"lost"`
	Drift         Num           `json:"drift"`
}

// AuditPoint is the mean of some optimizer steps in a row.
type AuditPoint struct {
	Step       int64 `json:"step"`  // the last of them
	Steps      int64 `json:"steps"` // how many
	Loss       Num   `json:"loss"`
	SFTLoss    Num   `json:"sft_loss"`
	MeanWeight Num   `json:"mean_weight"`
	GradNorm   Num   `json:"grad_norm"`
	LR         Num   `json:"lr"`
}

// AuditLost is a target that the base had and the trained model has not.
type AuditLost struct {
	ID       string `json:"id"`
	Source   string `json:"source,omitempty"`
	Pos      int32  `json:"pos"`
	Class    string `json:"class,omitempty"`
	Before   string `json:"before,omitempty"`
	Text     string `json:"text,omitempty"`
	After    string `json:"after,omitempty"`
	BaseProb Num    `json:"base_prob"`
	Prob     Num    `json:"prob"`
}

// BuildAudit reads what a run of train wrote. The audit's rows come in the order
// of training and what they are joined with in the dataset's, so the rows are
// taken in parts by the hash of their id, each in memory as a whole; memory does
// not grow with the dataset.
func BuildAudit(ctx context.Context, o AuditOptions) (*Audit, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	in, err := openAudit(&o)
	if err != nil {
		return nil, err
	}
	curve, err := readCurve(o.Run)
	if err != nil {
		return nil, err
	}
	t := newAuditTally(&o, in)
	parts := in.parts()
	if o.Log != nil {
		t.progress = cli.NewProgress(o.Log, "audit", "visits", in.audit.Manifest.Ledger.RowsOut*int64(parts), 0)
		defer t.progress.Done()
	}
	for part := range parts {
		if err := t.part(ctx, part, parts); err != nil {
			return nil, err
		}
	}
	a := t.report()
	a.Curve = curve
	return a, nil
}
