package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/internal/lock"
)

// A folder with files that no run of ours began is refused, and they stay:
// --out may name the folder above the model that is trained.
func TestForeignFilesStay(t *testing.T) {
	for _, name := range []string{MetricsName, SummaryName, AuditName, ModelName, EvalName, BestName} {
		w := newWorld(t)
		w.o.Steps = 1
		path := filepath.Join(w.o.Out, name, "precious")
		must(t, os.MkdirAll(path, 0o777))
		if err := w.run(t.Context()); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A run that is refused has written nothing: there is no folder, an empty one
// stays empty, and an unfinished run's has what it had, also where it should be
// started anew.
func TestRefusedBeforeAnythingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.o.SaveEvery = 1
	w.o.Eval = []HeldOutSet{{"held", w.o.Tokens}}
	refuse := func(what string) {
		t.Helper()
		o := w.o
		o.Memory = 1 << 20
		if err := Run(t.Context(), w.dev, w.c, o); cli.Code(err) != cli.ExitUsage || !strings.Contains(err.Error(), "of the rest: training this model") {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	refuse("a new folder")
	if _, err := os.Stat(w.o.Out); err == nil {
		t.Error("the folder is there")
	}
	must(t, os.Mkdir(w.o.Out, 0o777))
	refuse("an empty folder")
	left, err := os.ReadDir(w.o.Out)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%s is left in an empty folder", left[0].Name())
	}
	if err := w.run(&countdown{Context: t.Context(), left: 3}); cli.Code(err) != cli.ExitStopped {
		t.Fatal(err)
	}
	files := func() map[string]string {
		all := results(t, w.o.Out)
		delete(all, lock.FolderName)
		checkpoints := results(t, filepath.Join(w.o.Out, CheckpointsName))
		for name, data := range checkpoints {
			all[filepath.Join(CheckpointsName, name)] = data
		}
		if len(checkpoints) == 0 {
			t.Fatal("no checkpoint was written")
		}
		return all
	}
	want := files()
	for _, resume := range []string{ResumeAuto, ResumeNone} {
		w.o.Resume = resume
		refuse("--resume " + resume)
		same(t, "--resume "+resume, files(), want)
	}
	w.o.Resume = ResumeAuto
	w.log.Reset()
	must(t, w.run(t.Context()))
	if !strings.Contains(w.log.String(), "going on from") {
		t.Errorf("it starts anew: %s", w.log.String())
	}
}
