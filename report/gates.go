package report

import "eaft/eaft"

// Gate is what a gate would do to these targets, before any training.
type Gate struct {
	Gate         string `json:"gate"`
	MeanWeight   Num    `json:"mean_weight"`
	Effective    Num    `json:"effective_sample_size"` // (sum w)^2 / sum w^2, targets
	EffShare     Num    `json:"effective_share"`       // of the targets
	GradientKept Num    `json:"gradient_kept"`         // sum w (1-p) / sum (1-p): half the L1 norm of the loss's gradient on the logits
	LossKept     Num    `json:"loss_kept"`             // sum w -ln p / sum -ln p
}

// gates in the order of the report; mask is no function of h alone.
var gates = []struct {
	name string
	gate eaft.Gate
}{
	{"eaft", eaft.Linear{}},
	{"eaft^2", eaft.Power{Alpha: 2}},
	{"eaft^3", eaft.Power{Alpha: 3}},
	{"sigmoid(10,0.2)", eaft.Sigmoid{A: 10, B: 0.2}},
	{"sigmoid(20,0.1)", eaft.Sigmoid{A: 20, B: 0.1}},
	{"mask", nil},
}

type gateSum struct {
	gate                         eaft.Gate
	weight, square, grad, losses float64
}

func newGateSums() []gateSum {
	sums := make([]gateSum, len(gates))
	for i, g := range gates {
		sums[i].gate = g.gate
	}
	return sums
}

func (g *gateSum) add(h float64, conflict bool, gradient, loss float64) {
	w := 1.0
	if g.gate != nil {
		w = g.gate.Weight(h)
	} else if conflict {
		w = 0
	}
	g.weight += w
	g.square += w * w
	g.grad += w * gradient
	g.losses += w * loss
}

func (g *gateSum) merge(o *gateSum) {
	g.weight += o.weight
	g.square += o.square
	g.grad += o.grad
	g.losses += o.losses
}

func (t *tally) gateList() []Gate {
	list := []Gate{}
	n, loss := float64(t.all.targets), -t.logprob.Value()
	for i, s := range t.gates {
		list = append(list, Gate{gates[i].name, Num(s.weight / n), Num(s.weight * s.weight / s.square), Num(s.weight * s.weight / s.square / n),
			Num(s.grad / t.gradient), Num(s.losses / loss)})
	}
	return list
}
