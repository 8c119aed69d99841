package train

import (
	"os"
	"path/filepath"
	"testing"

	"eaft/internal/cli"
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
