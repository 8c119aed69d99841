package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"eaft/compute"
	"eaft/compute/cpu"
	"eaft/internal/cli"
	"eaft/internal/numerics"
	"eaft/model"
	"eaft/model/weights"
)

var update = flag.Bool("update", false, "write testdata/numerics.json; of instruction sets that this machine lacks it keeps what is there")

// Whoever changes the bits of training must raise Numerics, or runs that go on will mix
// them and not say so. The file has a hash of what a few steps make of the demo's model
// for each instruction set; those of AVX512-BF16 and AMX are of the emulator, as make
// test-amx runs it.
func TestNumerics(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the hashes are amd64's")
	}
	numerics.Check(t, filepath.Join("testdata", "numerics.json"), Numerics, *update, func(t *testing.T, isa, dtype string) (string, bool) {
		t.Setenv("EAFT_CPU", isa)
		dev, err := cpu.New(2)
		if err != nil {
			return "", false
		}
		d, err := compute.ParseDType(dtype)
		if err != nil {
			t.Fatal(err)
		}
		return bitsOfTraining(t, dev, d), true
	})
}

// bitsOfTraining hashes metrics and trained weights of short runs on rows of 2 to 70
// tokens: a loss that looks at the whole distribution, all regularisers, adapters,
// each optimizer, a loss with a forward pass of its own.
func bitsOfTraining(t *testing.T, dev compute.Device, dtype compute.DType) string {
	t.Helper()
	c, err := weights.Open("demo")
	must(t, err)
	defer c.Close()
	sum := sha256.New()
	for _, change := range []func(o *Options){
		func(o *Options) { o.Loss, o.Estimator, o.WeightDecay = LossEAFT, "full", 0.1 },
		func(o *Options) { o.LabelSmoothing, o.KL, o.NEFTune = 0.1, 0.5, 5 },
		func(o *Options) { o.LoRA, o.LoRAAlpha, o.LoRADropout, o.LoRATargets = 4, 8, 0.2, AllLinear },
		func(o *Options) { o.Optimizer, o.Loss = OptimizerAdamW8, LossTALR },
		func(o *Options) {
			o.Optimizer, o.Loss, o.AdamBeta1, o.AdamBeta2, o.AdamEps = OptimizerAdafactor, LossMiLe, 0, 0, 0
		},
	} {
		o := DefaultOptions()
		o.Tokens, o.Out, o.Loss, o.LR, o.DType = "tokens", "run", LossSFT, 1e-3, dtype.String()
		change(&o)
		must(t, o.Check())
		m, err := model.Load(dev, c, model.Options{DType: dtype, Train: o.LoRA == 0})
		must(t, err)
		if l := o.lora(); l != nil {
			must(t, m.AddLoRA(*l))
		}
		tr := newTrainer(dev, m, &o)
		tr.reg, err = newRegular(dev, c, m, dtype, &o)
		must(t, err)
		for n := 1; n <= 2; n++ {
			mt, err := tr.step(t.Context(), step{rows: rowsOfLengths(m.Spec().Vocab, n, 2, 70, 5, 31, 17)}, n, o.LR)
			must(t, err)
			must(t, binary.Write(sum, binary.LittleEndian, []float64{mt.Loss, mt.SFTLoss, mt.MeanWeight, mt.GradNorm}))
		}
		for _, p := range tr.params {
			must(t, binary.Write(sum, binary.LittleEndian, values(dev, p)))
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// rowsOfLengths are rows with some of their tokens trained.
func rowsOfLengths(vocab, n int, lengths ...int) (rows []*row) {
	for k, length := range lengths {
		r := &row{id: fmt.Sprint(k), order: int64(k)}
		for i := range length {
			r.ids = append(r.ids, int32((i*i*31+i*7+k*13+n*5)%vocab))
			if i > 0 && (i%3 != 0 || i < 4) {
				r.pos = append(r.pos, int32(i))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// A run goes on on a processor with another instruction set, and by a program of other
// numerics, if its checkpoint is named: the record names all engines and from which step
// on, and with the first engine there is nothing to say. What is finished is finished
// anywhere.
func TestGoesOnElsewhere(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("it needs two instruction sets")
	}
	w := newWorldOf(t, 4)
	w.o.Steps, w.o.Epochs, w.o.BatchTokens = 6, 0, 100
	w.o.SaveEvery = 1
	on := func(isa string) {
		t.Helper()
		t.Setenv("EAFT_CPU", isa)
		w.dev = device(t, 2)
		w.log.Reset()
	}
	refused := func(want, remedy string) (from string) {
		t.Helper()
		err := w.run(t.Context())
		if cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), remedy) {
			t.Fatalf("%v, want %q and %q", err, want, remedy)
		}
		from, _, _ = strings.Cut(err.Error(), ": the checkpoint was made with ")
		if !strings.Contains(err.Error(), "--resume "+from+" goes on all the same") {
			t.Error(err)
		}
		return from
	}
	oneStep := func() {
		t.Helper()
		if err := w.run(&countdown{Context: t.Context(), left: 1}); cli.Code(err) != cli.ExitStopped {
			t.Fatal(err)
		}
	}
	record := func() (rec Record) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(w.o.Out, RecordName))
		must(t, err)
		must(t, json.Unmarshal(data, &rec))
		return rec
	}
	on("generic")
	oneStep()
	oneStep()
	if strings.Contains(w.log.String(), "warning: the checkpoint") {
		t.Errorf("one engine: %s", w.log.String())
	}
	// As a program without numbers leaves it.
	rewriteState(t, filepath.Join(w.o.Out, CheckpointsName, stepName(2)), func(s *state) {
		if s.Record.Numerics != Numerics || len(s.Record.Engines) > 0 {
			t.Errorf("one engine: %+v", s.Record)
		}
		s.Record.Numerics, s.Record.Version = 0, "0.0.9"
	})
	on("generic")
	w.o.Resume = refused("step-000002: the checkpoint was made with generic, numerics 0 (eaft 0.0.9), and this is generic, numerics 1 (eaft ", "; eaft 0.0.9 goes on with the same bits")
	oneStep()
	if want := "warning: " + w.o.Resume + ": the checkpoint was made with generic, numerics 0"; !strings.Contains(w.log.String(), want) {
		t.Errorf("%q, want %q", w.log.String(), want)
	}
	w.o.Resume = ResumeAuto
	on("avx2")
	w.o.Resume = refused("step-000003: ", "; EAFT_CPU=generic, where the processor has that, goes on with the same bits")
	must(t, w.run(t.Context()))
	rec := record()
	v := rec.Version
	if want := []Engine{{1, "0.0.9", "generic", 0}, {3, v, "generic", Numerics}, {4, v, "avx2", Numerics}}; rec.ISA != "avx2" || !reflect.DeepEqual(rec.Engines, want) {
		t.Errorf("%s, %+v, want %+v", rec.ISA, rec.Engines, want)
	}
	on("generic")
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "is finished already") {
		t.Error(w.log.String())
	}
}

// rewriteState changes the state of the checkpoint at path.
func rewriteState(t *testing.T, path string, change func(s *state)) {
	t.Helper()
	var s state
	data, err := os.ReadFile(filepath.Join(path, stateFile))
	must(t, err)
	must(t, json.Unmarshal(data, &s))
	change(&s)
	must(t, writeJSON(filepath.Join(path, stateFile), s))
	data, err = os.ReadFile(filepath.Join(path, stateFile))
	must(t, err)
	var m manifest
	list, err := os.ReadFile(filepath.Join(path, manifestFile))
	must(t, err)
	must(t, json.Unmarshal(list, &m))
	for i, f := range m.Files {
		if f.Name == stateFile {
			m.Files[i] = stored{stateFile, int64(len(data)), hashOf(data)}
		}
	}
	must(t, writeJSON(filepath.Join(path, manifestFile), m))
}
