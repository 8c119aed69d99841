package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"eaft/eaft"
	"eaft/internal/cli"
	"eaft/parquet"
)

// auditSum gathers an AuditGroup.
type auditSum struct {
	visits                                     int64
	weight, loss, kept, gradient, gradientKept float64
	confident, lost                            int64
}

func (s *auditSum) add(w, logp, p float64) {
	s.visits++
	s.weight += w
	s.loss -= logp
	s.kept -= w * logp
	s.gradient += 1 - p
	s.gradientKept += w * (1 - p)
}

// auditEpoch gathers an AuditEpoch.
type auditEpoch struct {
	auditSum
	AuditChanges
}

func (c *AuditChanges) count(was, is bool) {
	switch {
	case was && is:
		c.Persisting++
	case was:
		c.Resolved++
	case is:
		c.New++
	}
	if was {
		c.Base++
	}
}

type auditTally struct {
	o        *AuditOptions
	in       *auditInputs
	progress *cli.Progress

	rows, targets int64
	all, at       auditSum // everything; conflicts of the base
	sources       map[string]*auditSum
	classes       [len(classNames)]auditSum
	epochs        map[int32]*auditEpoch
	changes       AuditChanges
	worst         worstOf[auditLost]
	twins         int64 // rows that share id and targets with another
	noMass        bool  // an audit without top-K masses was read
	noBase        bool  // a row without base was read
}

// auditLost is an AuditLost before it is spelled.
type auditLost struct {
	x *auditRow
	i int
}

func (l auditLost) fall() float32 { return l.x.last[l.i] - l.x.base[l.i] }

func compareRows(a, b *auditRow) int {
	return cmp.Or(cmp.Compare(a.id, b.id), slices.Compare(a.pos, b.pos))
}

func newAuditTally(o *AuditOptions, in *auditInputs) *auditTally {
	return &auditTally{o: o, in: in, sources: map[string]*auditSum{}, epochs: map[int32]*auditEpoch{},
		worst: worstOf[auditLost]{n: o.Worst, compare: func(a, b auditLost) int {
			return cmp.Or(cmp.Compare(a.fall(), b.fall()), compareRows(a.x, b.x), cmp.Compare(a.i, b.i))
		}}}
}

// flag says whether a target is a confident conflict under the base's cuts.
func (t *auditTally) flag(logp, topk, mass float32) bool {
	return eaft.Target{LogProb: logp, TopKEntropy: topk, TopKMass: mass}.Conflict(eaft.Renorm, t.in.k, *t.in.cuts)
}

func (t *auditTally) flags(logp, topk, mass []float32) []bool {
	if t.in.cuts == nil {
		return nil
	}
	flags := make([]bool, len(logp))
	for i := range flags {
		m := float32(1)
		if len(mass) > 0 {
			m = mass[i]
		} else {
			t.noMass = true
		}
		flags[i] = t.flag(logp[i], topk[i], m)
	}
	return flags
}

func (t *auditTally) source(name string) *auditSum {
	s := t.sources[name]
	if s == nil {
		if len(t.sources) >= maxSources && name != others {
			return t.source(others)
		}
		s = new(auditSum)
		t.sources[name] = s
	}
	return s
}

// visit counts a visit of a row.
func (t *auditTally) visit(x *auditRow, a *parquet.AuditRow) {
	if x.pos == nil {
		x.pos = a.Pos
	}
	if x.base == nil && len(a.BaseLogProb) > 0 {
		x.base, x.baseFlag = a.BaseLogProb, t.flags(a.BaseLogProb, a.BaseTopKEntropy, a.BaseTopKMass)
	}
	e := t.epochs[a.Epoch]
	if e == nil {
		e = new(auditEpoch)
		t.epochs[a.Epoch] = e
	}
	flags := t.flags(a.LogProb, a.TopKEntropy, a.TopKMass)
	var source *auditSum
	if x.ids != nil {
		source = t.source(x.source)
	}
	for i := range a.Pos {
		w, logp := float64(a.Weight[i]), float64(a.LogProb[i])
		p := math.Exp(logp)
		t.all.add(w, logp, p)
		e.add(w, logp, p)
		if source != nil {
			source.add(w, logp, p)
		}
		if x.class != nil {
			t.classes[x.class[i]].add(w, logp, p)
		}
		if x.baseFlag != nil && flags != nil {
			e.count(x.baseFlag[i], flags[i])
			if x.baseFlag[i] {
				t.at.add(w, logp, p)
			}
		}
		if x.base != nil && math.Exp(float64(x.base[i])) >= t.o.Confident {
			e.confident++
			if p < t.o.Lost {
				e.lost++
			}
		}
	}
	if a.Step >= x.step {
		x.step, x.last, x.lastFlag = a.Step, a.LogProb, flags
	}
}

// close counts what has become of a row's targets in the end.
func (t *auditTally) close(x *auditRow) {
	t.rows++
	t.targets += int64(len(x.pos))
	if x.base == nil {
		t.noBase = true
		return
	}
	if x.after != nil {
		x.last, x.lastFlag = x.after, x.afterFlag
	}
	var source *auditSum
	if x.ids != nil {
		source = t.source(x.source)
	}
	for i := range x.pos {
		if x.baseFlag != nil && x.lastFlag != nil {
			t.changes.count(x.baseFlag[i], x.lastFlag[i])
		}
		if math.Exp(float64(x.base[i])) < t.o.Confident {
			continue
		}
		lost := math.Exp(float64(x.last[i])) < t.o.Lost
		for _, s := range []*auditSum{&t.all, source, t.class(x, i)} {
			if s == nil {
				continue
			}
			s.confident++
			if lost {
				s.lost++
			}
		}
		if lost {
			t.worst.offer(auditLost{x, i})
		}
	}
}

func (t *auditTally) class(x *auditRow, i int) *auditSum {
	if x.class == nil {
		return nil
	}
	return &t.classes[x.class[i]]
}

func (s *auditSum) group(name string, removed float64) AuditGroup {
	n := float64(s.visits)
	g := AuditGroup{Name: name, Visits: s.visits, MeanWeight: Num(s.weight / n),
		Loss: Num(s.loss), LossRemoved: Num(s.loss - s.kept), LossShare: Num((s.loss - s.kept) / s.loss),
		Gradient: Num(s.gradient), GradientRemoved: Num(s.gradient - s.gradientKept), GradientShare: Num((s.gradient - s.gradientKept) / s.gradient),
		OfAllRemoved: Num((s.gradient - s.gradientKept) / removed), Confident: s.confident, Lost: s.lost, Drift: Num(float64(s.lost) / float64(s.confident))}
	return g
}

// report is the tally in words.
func (t *auditTally) report() *Audit {
	removed := t.all.gradient - t.all.gradientKept
	a := &Audit{Loss: t.in.run.Options.Loss, Steps: t.in.run.Steps, Rows: t.rows, Targets: t.targets,
		Total: t.all.group("all", removed), AtConflicts: t.at.group("conflicts of the base", removed), BySource: []AuditGroup{}, ByClass: []AuditGroup{}, Epochs: []AuditEpoch{}, Curve: []AuditPoint{}, Worst: []AuditLost{},
		Drift: Num(float64(t.all.lost) / float64(t.all.confident)), MeasuredBy: "last visit", Confident: Num(t.o.Confident), Lost: Num(t.o.Lost), Missing: t.missing()}
	run := &t.in.run
	a.Made = AuditMade{Model: run.Hashes["model"], Tokens: run.Hashes["tokens"], Scores: run.Hashes["scores"], DType: run.Options.DType, ISA: run.ISA, Version: run.Version, Engines: run.Engines}
	if t.in.after != nil {
		a.MeasuredBy = "after"
		a.Made.After = t.in.after.Manifest.Hashes["model"]
	}
	if c := t.in.cuts; c != nil {
		a.Cuts = &AuditCuts{Num(c.Prob), Num(c.H), Num(c.MinMass)}
	}
	known := a.Cuts != nil && !t.noBase
	if known {
		a.Conflicts = &t.changes
	}
	for name, s := range t.sources {
		if name == "" {
			name = "(unnamed)"
		}
		a.BySource = append(a.BySource, s.group(Visible([]byte(name)), removed))
	}
	slices.SortFunc(a.BySource, func(x, y AuditGroup) int {
		return cmp.Or(-cmp.Compare(x.GradientRemoved, y.GradientRemoved), strings.Compare(x.Name, y.Name))
	})
	for i := range t.classes {
		if t.in.vocab.t != nil && t.classes[i].visits > 0 {
			a.ByClass = append(a.ByClass, t.classes[i].group(classNames[i], removed))
		}
	}
	for n, e := range t.epochs {
		v := float64(e.visits)
		x := AuditEpoch{Epoch: n + 1, Visits: e.visits, SFTLoss: Num(e.loss / v), WeightedLoss: Num(e.kept / v), MeanWeight: Num(e.weight / v),
			LossShare: Num((e.loss - e.kept) / e.loss), GradientShare: Num((e.gradient - e.gradientKept) / e.gradient),
			Confident: e.confident, Lost: e.lost, Drift: Num(float64(e.lost) / float64(e.confident))}
		if known {
			x.Conflicts = &e.AuditChanges
		}
		a.Epochs = append(a.Epochs, x)
	}
	slices.SortFunc(a.Epochs, func(x, y AuditEpoch) int { return cmp.Compare(x.Epoch, y.Epoch) })
	for _, l := range t.worst.list {
		a.Worst = append(a.Worst, l.spell(t.in.vocab))
	}
	return a
}

// missing is what the report cannot say, or not quite.
func (t *auditTally) missing() []string {
	list := append([]string{}, t.in.missing...)
	if t.noBase && t.in.run.Hashes["scores"] != "" {
		list = append(list, "the audit has rows without base annotation: conflicts and drift are not known")
	} else if !t.noBase && t.in.cuts == nil {
		list = append(list, "no cuts of a conflict are known: conflicts are not counted")
	}
	if t.noMass {
		list = append(list, "the audit has no column topk_mass (an older version wrote it): conflicts are counted whatever the mass")
	}
	if t.twins > 0 {
		list = append(list, fmt.Sprintf("%s rows share id and targets with another one and count as one row with it", thousands(t.twins)))
	}
	return list
}

// spell shows a lost target between its neighbours.
func (l auditLost) spell(v *vocabulary) AuditLost {
	x, pos := l.x, l.x.pos[l.i]
	out := AuditLost{ID: Visible([]byte(x.id)), Source: Visible([]byte(x.source)), Pos: pos,
		BaseProb: probability(x.base[l.i]), Prob: probability(x.last[l.i])}
	if x.ids == nil {
		return out
	}
	if v.t != nil {
		out.Class = classNames[x.class[l.i]]
	}
	at, n := int(pos), len(x.ids)
	out.Before, out.Text, out.After = v.text(x.ids[max(0, at-before):at]), v.token(x.ids[at]), v.text(x.ids[at+1:min(n, at+1+after)])
	return out
}
