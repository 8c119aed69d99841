package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eaft/internal/scripts"
	"github.com/rogpeppe/go-internal/testscript"
)

// programs is a folder with the four programs: a pipeline runs its siblings.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "programs")
	if err == nil {
		cmd := exec.Command("go", "build", "-tags", "disable_grpc_modules", "-o", dir, "eaft/cmd/...")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func TestScripts(t *testing.T) {
	corpora, err := filepath.Abs("../../examples/demo")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", filepath.Dir(corpora))
			e.Setenv("PATH", programs+string(os.PathListSeparator)+e.Getenv("PATH"))
			for name, rows := range map[string]int{"corpus.jsonl": 60, "known.jsonl": 20} {
				data, err := os.ReadFile(filepath.Join(corpora, name))
				if err != nil {
					return err
				}
				lines := bytes.SplitAfter(data, []byte("\n"))
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), bytes.Join(lines[:rows], nil), 0o666); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": scripts.Code, "same": same, "flip": flip, "cpglob": cpglob, "rmglob": rmglob},
	})
}

// one is the only path that fits a pattern.
func one(ts *testscript.TestScript, pattern string) string {
	paths, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	if len(paths) != 1 {
		ts.Fatalf("%s fits %d paths: %v", pattern, len(paths), paths)
	}
	return paths[0]
}

// same compares all files of two folders, each named by a pattern: same A B
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, b := read(ts, one(ts, args[0])), read(ts, one(ts, args[1]))
	for name, data := range a {
		if b[name] != data {
			ts.Fatalf("%s differs in %s and %s", name, args[0], args[1])
		}
	}
	if len(a) != len(b) || len(a) == 0 {
		ts.Fatalf("%s has %d files, %s %d", args[0], len(a), args[1], len(b))
	}
}

func read(ts *testscript.TestScript, dir string) map[string]string {
	out := map[string]string{}
	ts.Check(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(data)
		return err
	}))
	return out
}

// flip changes one bit in the middle of the only file that fits: flip PATTERN
func flip(ts *testscript.TestScript, neg bool, args []string) {
	path := one(ts, args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(path, data, 0o666))
}

// cpglob copies the only file that fits a pattern: cpglob PATTERN TO
func cpglob(ts *testscript.TestScript, neg bool, args []string) {
	data, err := os.ReadFile(one(ts, args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o666))
}

// rmglob removes a file that is named by a pattern: rmglob A
func rmglob(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.Remove(one(ts, args[0])))
}
