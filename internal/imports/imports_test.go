// Package imports keeps the rules of docs/design.md on which package may import
// which.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// only lists, for a package and those below it, what it may import of the
// module beside itself; internal is always allowed.
var only = map[string][]string{
	"eaft":               {},
	"compute":            {},
	"parquet":            {},
	"tokenize/tokenizer": {},
	"tokenize/template":  {},
	"model/weights":      {"model/demo", "tokenize/tokenizer"},
	"model/vocabulary":   {"model/weights", "parquet", "tokenize/tokenizer"},
	"examples/demo":      {},
	"model":              {"compute", "model"},
	"tokenize":           {"parquet", "model/weights", "tokenize"},
	"report":             {"parquet", "eaft", "tokenize/tokenizer"},
	"scorer":             {"parquet", "eaft", "compute", "model", "tokenize/tokenizer"},
	"train":              {"parquet", "eaft", "compute", "model", "tokenize/tokenizer"},
	"eval":               {"parquet", "eaft", "compute", "model", "tokenize/tokenizer"},
	"bench":              {"parquet", "tokenize/tokenizer"},
	"pipeline":           {"eaft", "examples/demo", "parquet"},
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		from := strings.TrimPrefix(p.ImportPath, "eaft/")
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, "eaft/")
			if ours && !allowed(from, to) {
				t.Errorf("%s imports %s", from, to)
			}
		}
	}
	if seen < len(only) {
		t.Errorf("go list found %d packages, the rules name %d", seen, len(only))
	}
}

func under(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

func allowed(from, to string) bool {
	if under(to, "internal") {
		return true
	}
	if under(from, "cmd") {
		return true
	}
	if under(to, "compute/cpu") && !under(from, "compute/cpu") {
		return false
	}
	// The longest rule that fits is the package's own.
	rule := ""
	for dir := range only {
		if under(from, dir) && len(dir) > len(rule) {
			rule = dir
		}
	}
	if under(from, "internal") || rule == "" {
		return false
	}
	if under(to, rule) {
		return true
	}
	for _, dir := range only[rule] {
		if under(to, dir) {
			return true
		}
	}
	return false
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"scorer", "train", false},
		{"train", "scorer", false},
		{"tokenize", "scorer", false},
		{"model", "compute/cpu", false},
		{"cmd/scorer", "compute/cpu", true},
		{"tokenize/tokenizer", "model/weights", false},
		{"eaft", "parquet", false},
		{"report", "model", false},
		{"scorer", "model/weights", true},
		{"parquet", "internal/version", true},
	} {
		if got := allowed(c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
