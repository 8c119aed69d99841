package train

import (
	"math"

	"eaft/internal/cli"
)

// Schedules of the learning rate after the warm-up.
const (
	ScheduleConstant = "constant"
	ScheduleLinear   = "linear"
	ScheduleCosine   = "cosine" // Loshchilov and Hutter 2017
	ScheduleWSD      = "wsd"    // warm-up, stable, decay (Hu et al. 2024)
)

// rateAt is the learning rate of step i of n, counted from 0. The first
// w = ceil(Warmup n) steps rise linearly, LR (i+1)/w, so that none is lost on a
// rate of 0. Then it is LR (MinLR + (1-MinLR) f), where with x = (i-w)/(n-w)
//
//	constant  f = 1
//	linear    f = 1 - x
//	cosine    f = (1 + cos(pi x))/2
//	wsd       f = 1, and over the last d = ceil(Decay n) steps (i >= n-d, which
//	          never begins before the warm-up ends) f = 1 - (i-(n-d))/d
//
// The numbers after the warm-up are those of transformers'
// get_constant_schedule_with_warmup, get_linear_schedule_with_warmup,
// get_cosine_with_min_lr_schedule_with_warmup and get_wsd_schedule with
// decay_type linear; f would be 0 at step n, after the last. The warm-up is the
// same for all.
func (o *Options) rateAt(i, n int) float64 {
	w := int(math.Ceil(o.Warmup * float64(n)))
	if i < w {
		return o.LR * float64(i+1) / float64(w)
	}
	f := 1.0
	switch o.Schedule {
	case ScheduleLinear:
		f = 1 - float64(i-w)/float64(n-w)
	case ScheduleCosine:
		f = 0.5 * (1 + math.Cos(math.Pi*float64(i-w)/float64(n-w)))
	case ScheduleWSD:
		d := min(int(math.Ceil(o.Decay*float64(n))), n-w)
		if i >= n-d {
			f = 1 - float64(i-(n-d))/float64(d)
		}
	}
	return o.LR * (o.MinLR + (1-o.MinLR)*f)
}

// checkSchedule reports what is wrong about the schedule's options.
func (o *Options) checkSchedule() error {
	switch o.Schedule {
	case ScheduleConstant, ScheduleLinear, ScheduleCosine, ScheduleWSD:
	default:
		return cli.Usagef("--schedule %q is not known: use constant, linear, cosine or wsd", o.Schedule)
	}
	switch {
	case o.Schedule == ScheduleWSD && !(o.Decay > 0 && o.Decay <= 1):
		return cli.Usagef("--decay %v: a share of the steps above 0, at most 1", o.Decay)
	case o.Schedule != ScheduleWSD && o.Decay != 0:
		return cli.Usagef("--decay is the share of the steps in which --schedule wsd falls; %s has none: leave it out", o.Schedule)
	case !(o.MinLR >= 0 && o.MinLR <= 1):
		return cli.Usagef("--min-lr %v: a share of --lr between 0 and 1", o.MinLR)
	case o.Schedule == ScheduleConstant && o.MinLR != 0:
		return cli.Usagef("--min-lr has no effect with --schedule constant: leave it out, or use linear, cosine or wsd")
	}
	return nil
}
