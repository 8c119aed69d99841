package train

import (
	"fmt"
	"path/filepath"
	"testing"

	"eaft/internal/cli"
)

// Adapters with dropout, every optimizer's state, schedules and mixtures are taken
// up from a checkpoint to the bit.
func TestResumeParameters(t *testing.T) {
	for name, set := range map[string]func(o *Options){
		"lora": func(o *Options) {
			o.LoRA, o.LoRAAlpha, o.LoRADropout, o.LoRATargets = 4, 8, 0.3, AllLinear
			o.Merge, o.MergeType = true, "bf16"
		},
		"adapter alone": func(o *Options) {
			o.LoRA, o.LoRAAlpha, o.LoRADropout, o.LoRATargets = 2, 4, 0.1, "q_proj,up_proj"
		},
		"adafactor": func(o *Options) {
			o.Optimizer, o.AdamBeta1, o.AdamBeta2, o.AdamEps = OptimizerAdafactor, 0, 0, 0
			o.Schedule, o.Decay, o.MinLR = ScheduleWSD, 0.4, 0.1
		},
		"adamw8bit": func(o *Options) { o.Optimizer, o.DType, o.Mix = OptimizerAdamW8, "bf16", "=1.5" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			set(&w.o)
			must(t, w.run(t.Context()))
			want := results(t, w.o.Out)
			for _, left := range []int{2, 4} {
				w.o.Out = filepath.Join(w.dir, fmt.Sprint("stopped", left))
				if err := w.run(&countdown{Context: t.Context(), left: left}); cli.Code(err) != cli.ExitStopped {
					t.Fatalf("stop %d: %v", left, err)
				}
				must(t, w.run(t.Context()))
				same(t, fmt.Sprintf("stopped at %d", left), results(t, w.o.Out), want)
				w.log.Reset()
				must(t, w.run(t.Context())) // finished already
			}
		})
	}
}
