package train

import (
	"eaft/compute"
	"eaft/model"
)

// adamW8 is adamW whose moments are compute.Blocks, but those of weights with less
// than some number of values, which are float32.
type adamW8 struct {
	*adamW // of the small weights, at their places; nil elsewhere
	m8, v8 []compute.Blocks
}

func newAdamW8(dev compute.Device, params []model.Param, o *Options, least int) *adamW8 {
	a := &adamW8{adamW: &adamW{dev: dev, params: params, o: o}}
	for _, p := range params {
		rows, cols := p.Value.Rows(), p.Value.Cols()
		var m, v compute.Tensor
		var m8, v8 compute.Blocks
		if rows*cols >= least {
			m8, v8 = dev.NewBlocks(rows*cols, true), dev.NewBlocks(rows*cols, false)
		} else {
			m, v = dev.NewTensor(rows, cols, compute.F32), dev.NewTensor(rows, cols, compute.F32)
		}
		a.m, a.v, a.m8, a.v8 = append(a.m, m), append(a.v, v), append(a.m8, m8), append(a.v8, v8)
	}
	return a
}

func (a *adamW8) update(i, n int, lr, scale float64) {
	if a.m8[i] == nil {
		a.adamW.update(i, n, lr, scale)
		return
	}
	p := a.params[i]
	a.dev.AdamW8(p.Value, p.Grad, a.m8[i], a.v8[i], a.o.adamStep(p, n, lr, scale))
	refresh(a.dev, p)
}

// refresh derives a changed parameter's operand again.
func refresh(dev compute.Device, p model.Param) {
	if p.Operand != nil {
		dev.Refresh(p.Operand)
	}
}

func (a *adamW8) state() (s []State) {
	for i, p := range a.params {
		if a.m8[i] == nil {
			s = append(s, matrixState(p.Name+".exp_avg", a.m[i]), matrixState(p.Name+".exp_avg_sq", a.v[i]))
			continue
		}
		for _, b := range []struct {
			name   string
			blocks compute.Blocks
		}{{".exp_avg", a.m8[i]}, {".exp_avg_sq", a.v8[i]}} {
			s = append(s, State{Name: p.Name + b.name + ".codes", Rows: p.Value.Rows(), Cols: p.Value.Cols(), Bytes: b.blocks.Codes()},
				matrixState(p.Name+b.name+".scales", b.blocks.Scales()))
		}
	}
	return s
}

// Constants of Adafactor that are not options: Shazeer and Stern's.
const (
	adafactorDecay = 0.8   // the averages' factor is 1 - step^-0.8
	adafactorEps   = 1e-30 // added to squares
	adafactorClip  = 1     // the root mean square that an update may have
)

// adafactor is compute.Adafactor.
type adafactor struct {
	dev      compute.Device
	params   []model.Param
	o        *Options
	row, col []compute.Tensor // row nil for vectors
}

func newAdafactor(dev compute.Device, params []model.Param, o *Options) *adafactor {
	a := &adafactor{dev: dev, params: params, o: o}
	for _, p := range params {
		var row compute.Tensor
		if n := p.Value.Rows(); n > 1 {
			row = dev.NewTensor(1, n, compute.F32)
		}
		a.row, a.col = append(a.row, row), append(a.col, dev.NewTensor(1, p.Value.Cols(), compute.F32))
	}
	return a
}

func (a *adafactor) update(i, n int, lr, scale float64) {
	p := a.params[i]
	s := compute.Adafactor{LR: lr, Decay: adafactorDecay, Eps: adafactorEps, Clip: adafactorClip, GradScale: scale, Step: n}
	if p.Decay {
		s.WeightDecay = a.o.WeightDecay
	}
	a.dev.Adafactor(p.Value, p.Grad, a.row[i], a.col[i], s)
	refresh(a.dev, p)
}

func (a *adafactor) state() (s []State) {
	for i, p := range a.params {
		if a.row[i] != nil {
			s = append(s, matrixState(p.Name+".exp_avg_sq_row", a.row[i]))
		}
		s = append(s, matrixState(p.Name+".exp_avg_sq_col", a.col[i]))
	}
	return s
}
