package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/internal/hubtest"
	"eaft/model/demo"
)

// A run on a model of the Hub makes what one on its folder makes. It works with the
// commit that it found, and with a later one it is another run.
func TestHubRun(t *testing.T) {
	hub := hubtest.New(t)
	files := map[string][]byte{}
	dir := workspace(t)
	entries, err := fs.ReadDir(demo.FS, ".")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "folder"), 0o777)
	}
	for _, e := range entries {
		if err == nil {
			files[e.Name()], err = fs.ReadFile(demo.FS, e.Name())
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "folder", e.Name()), files[e.Name()], 0o666)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(code int, verb string, args ...string) string {
		t.Helper()
		cmd := pipelineRun(dir, args...)
		cmd.Args[1] = verb
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != code {
			t.Fatalf("%v: %v, want exit code %d\n%s", cmd.Args, err, code, out)
		}
		return string(out)
	}
	first := hub.Commit("main", files)
	out := run(0, "run", "--set", "model="+hubtest.Repo)
	if want := "scorer score --model " + hubtest.Repo + "@" + first; !strings.Contains(out, "fetching "+hubtest.Repo) || !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	got := results(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	run(0, "run", "--set", "model=folder")
	want := results(t, dir)
	for name, data := range want { // shards and models are the same bytes; reports and manifests name the model
		if e := filepath.Ext(name); (e == ".parquet" || e == ".safetensors") && got[name] != data {
			t.Errorf("%s differs", name)
		}
	}
	if out := run(0, "plan", "--set", "model="+hubtest.Repo); strings.Contains(out, "model: sha256:") || !strings.Contains(out, "done") {
		t.Errorf("the folder's model is not the Hub's:\n%s", out)
	}

	files["config.json"] = append(bytes.Clone(files["config.json"]), '\n')
	hub.Commit("main", files)
	if out := run(0, "plan", "--set", "model="+hubtest.Repo); !strings.Contains(out, "model: sha256:") {
		t.Errorf("the branch has moved on:\n%s", out)
	}
	if out := run(0, "plan", "--set", "model="+hubtest.Repo+"@"+first); strings.Contains(out, "model: sha256:") {
		t.Errorf("the commit before:\n%s", out)
	}
	hub.Token = "hf_secret"
	if out := run(2, "plan", "--set", "model="+hubtest.Repo+"@v2"); !strings.Contains(out, "--set model: model Org/Tiny@v2: no such folder, and from the Hub: Org/Tiny is gated") {
		t.Errorf("gated:\n%s", out)
	}
}
