package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eaft/internal/hubtest"
)

func newServer(t *testing.T) *hubtest.Server {
	was := pause
	pause = time.Millisecond
	t.Cleanup(func() { pause = was })
	return hubtest.New(t)
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// tiny is a model of two shards.
func tiny() map[string][]byte {
	return map[string][]byte{
		"config.json": []byte(`{"model_type":"llama"}`), "tokenizer.json": random(5000), "tokenizer_config.json": []byte(`{}`), "additional_chat_templates/tool_use.jinja": []byte("T"),
		IndexFile:                          []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`),
		"model-00001-of-00002.safetensors": random(300_000), "model-00002-of-00002.safetensors": random(7000),
		"pytorch_model.bin": random(4000), "README.md": []byte("# Tiny"),
	}
}

var wanted = []string{"config.json", "tokenizer.json", "tokenizer_config.json", "additional_chat_templates/tool_use.jinja", IndexFile, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}

func fetched(t *testing.T, s *hubtest.Server, ref string, weights bool) (dir, said string) {
	t.Helper()
	id, ok := Parse(ref)
	if !ok {
		t.Fatalf("%s is no ID", ref)
	}
	var w bytes.Buffer
	if err := Fetch(context.Background(), id, weights, &w); err != nil {
		t.Fatalf("%v\n%s", err, &w)
	}
	dir, err := Find(id, weights)
	if err != nil {
		t.Fatal(err)
	}
	return dir, w.String()
}

func same(t *testing.T, dir string, files map[string][]byte, names []string) {
	t.Helper()
	var have []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		have = append(have, name)
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(data, files[name]) {
			t.Errorf("%s is not what the Hub has (%v)", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(names))
	if !slices.Equal(have, want) {
		t.Errorf("in the snapshot are %q, want %q", have, want)
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "owner"), 0o777)
	for ref, want := range map[string]string{
		"Org/Name": "Org/Name", "Org/Name@main": "Org/Name", "Org/Na.me_1-x@v1.0": "Org/Na.me_1-x@v1.0", "Org/Name@refs/pr/3": "Org/Name@refs/pr/3",
		"owner/Name": "", "Name": "", "a/b/c": "", "Org/m.gguf": "", "./a/b": "", "../b": "", "Org/..": "", "Org/a..b": "", "Org/Name@": "", "Org/Name@../x": "", "s3://a/b": "", "/a/b": "", "~/b": "",
	} {
		id, ok := Of(dir, ref)
		if got := id.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", ref, got, ok, want)
		}
	}
	if _, ok := Of("", "owner/Name"); !ok {
		t.Error("a folder elsewhere")
	}
}

func TestCacheDir(t *testing.T) {
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", "/h")
	for _, set := range []struct{ name, value, want string }{
		{"", "", "/h/.cache/huggingface/hub"}, {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"}, {"HF_HOME", "~/hf", "/h/hf/hub"},
		{"HUGGINGFACE_HUB_CACHE", "/old", "/old"}, {"HF_HUB_CACHE", "$HOME/c", "/h/c"},
	} {
		if set.name != "" {
			t.Setenv(set.name, set.value)
		}
		if got, err := CacheDir(); err != nil || got != set.want {
			t.Errorf("%s=%s: %s, %v, want %s", set.name, set.value, got, err, set.want)
		}
	}
}

func TestFetch(t *testing.T) {
	s := newServer(t)
	files := tiny()
	first := s.Commit("main", files)
	dir, said := fetched(t, s, "Org/Tiny", false)
	same(t, dir, files, wanted[:4])
	if !strings.Contains(said, "fetching Org/Tiny, commit "+first) {
		t.Errorf("said %q", said)
	}
	if _, err := Find(ID{"Org", "Tiny", "main"}, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without weights: %v", err)
	}
	dir, _ = fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)

	s.Asked = nil
	_, said = fetched(t, s, "Org/Tiny", true)
	if want := []string{"HEAD /Org/Tiny/resolve/main/config.json"}; !slices.Equal(s.Asked, want) || said != "" {
		t.Errorf("fetched again: asked %q, said %q", s.Asked, said)
	}
	s.Asked = nil
	if pinned := Pinned(ID{"Org", "Tiny", "main"}); pinned.Revision != first {
		t.Errorf("pinned %v", pinned)
	}
	fetched(t, s, "Org/Tiny@"+first, true)
	if len(s.Asked) > 0 {
		t.Errorf("of a commit that is there: asked %q", s.Asked)
	}

	// The branch moves on: what did not change is not fetched again.
	files = maps.Clone(files)
	files["config.json"] = []byte(`{"model_type":"mistral"}`)
	second := s.Commit("main", files)
	s.Asked = nil
	dir, _ = fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)
	if filepath.Base(dir) != second || slices.ContainsFunc(s.Asked, func(a string) bool { return strings.Contains(a, "cdn") }) {
		t.Errorf("%s, asked %q", dir, s.Asked)
	}
	if dir, err := Find(ID{"Org", "Tiny", first}, true); err != nil || filepath.Base(dir) != first {
		t.Errorf("the commit before: %s, %v", dir, err)
	}
}

// A model in one file, whose tokenizer a program without it fetched before.
func TestFetchOneFile(t *testing.T) {
	s := newServer(t)
	files := map[string][]byte{"config.json": []byte("{}"), WeightsFile: random(2000), IndexFile: []byte("no JSON")}
	s.Commit("main", files)
	dir, _ := fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, []string{"config.json", WeightsFile})
}

func TestFetchRefused(t *testing.T) {
	for _, c := range []struct {
		name, ref string
		files     map[string][]byte
		token     string
		want      string
	}{
		{"no such model", "Org/Other", tiny(), "", "there is no model Org/Other at "},
		{"no such revision", "Org/Tiny@v2", tiny(), "", `Org/Tiny has no revision "v2"`},
		{"gated", "Org/Tiny", tiny(), "hf_secret", "Org/Tiny is gated: accept its terms at "},
		{"no model", "Org/Tiny", map[string][]byte{"x.gguf": random(10)}, "", "a .gguf file of it is fetched by: hf download Org/Tiny FILE"},
		{"no safetensors", "Org/Tiny", map[string][]byte{"config.json": []byte("{}"), "pytorch_model.bin": random(10)}, "", "there are no weights as safetensors"},
		{"no shard", "Org/Tiny", map[string][]byte{"config.json": []byte("{}"), IndexFile: []byte(`{"weight_map":{"a":"x.safetensors"}}`)}, "", "model.safetensors.index.json names x.safetensors, which is not on the Hub"},
		{"a path", "Org/Tiny", map[string][]byte{"config.json": []byte("{}"), IndexFile: []byte(`{"weight_map":{"a":"../../x"}}`)}, "", `names "../../x", which is no file of this folder`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.Commit("main", c.files)
			s.Token = c.token
			id, _ := Parse(c.ref)
			err := Fetch(context.Background(), id, true, t.Output())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, err := Find(id, true); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("found: %v", err)
			}
		})
	}
}

func TestToken(t *testing.T) {
	s := newServer(t)
	s.Commit("main", tiny())
	s.Token = "hf_secret"
	os.WriteFile(filepath.Join(os.Getenv("HF_HOME"), "token"), []byte("hf_secret\n"), 0o600)
	fetched(t, s, "Org/Tiny", true)
	t.Setenv("HF_TOKEN", "wrong")
	if _, said := fetched(t, s, "Org/Tiny", true); !strings.Contains(said, "is gated") || !strings.Contains(said, "what the cache has of it is used") {
		t.Errorf("with a wrong token and a cache: said %q", said)
	}
}

// Requests fail now and then, and answers break off: what came is kept.
func TestFaults(t *testing.T) {
	s := newServer(t)
	files := tiny()
	s.Commit("main", files)
	s.Fail = func(n int, r *http.Request) int {
		if n%3 == 1 {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	s.Cut = 100_000
	dir, _ := fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)
	if !slices.Contains(s.Asked, "GET cdn bytes=200000-") {
		t.Errorf("asked %q", s.Asked)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "..", "..", "blobs", "*.incomplete"))
	if len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// An answer that stands still is asked for again, from where it stood; where the other
// host knows no ranges, all of it, of which what is there already is passed over.
func TestStill(t *testing.T) {
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("whole=%v", whole), func(t *testing.T) {
			s := newServer(t)
			was := stall
			stall = 200 * time.Millisecond
			t.Cleanup(func() { stall = was })
			files := tiny()
			s.Commit("main", files)
			s.Still, s.Whole = 3, whole
			dir, said := fetched(t, s, "Org/Tiny", true)
			same(t, dir, files, wanted)
			if !strings.Contains(said, "tokenizer.json of Org/Tiny: no byte in 200ms; again in ") || !slices.Contains(s.Asked, "GET cdn bytes=2500-") && !whole {
				t.Errorf("said %q, asked %q", said, s.Asked)
			}
		})
	}
}

func TestFlipped(t *testing.T) {
	s := newServer(t)
	files := tiny()
	s.Commit("main", files)
	s.Flip = true
	id, _ := Parse("Org/Tiny")
	if err := Fetch(context.Background(), id, true, t.Output()); err == nil || !strings.Contains(err.Error(), "tokenizer.json: the bytes that came have hash ") {
		t.Fatal(err)
	}
	s.Flip = false
	dir, _ := fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)
}

// Without the Hub the cache will do, and says so.
func TestAway(t *testing.T) {
	s := newServer(t)
	s.Commit("main", tiny())
	id, _ := Parse("Org/Tiny")
	t.Setenv("HF_HUB_OFFLINE", "1")
	if err := Fetch(context.Background(), id, true, t.Output()); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Fatal(err)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	fetched(t, s, "Org/Tiny", true)
	t.Setenv("HF_HUB_OFFLINE", "1")
	s.Asked = nil
	if fetched(t, s, "Org/Tiny", true); len(s.Asked) > 0 {
		t.Errorf("offline: asked %q", s.Asked)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	s.Close()
	if _, said := fetched(t, s, "Org/Tiny", true); !strings.Contains(said, "what the cache has of it is used") {
		t.Errorf("said %q", said)
	}
	t.Setenv("HF_HOME", t.TempDir())
	if err := Fetch(context.Background(), id, true, t.Output()); err == nil || !strings.Contains(err.Error(), "model Org/Tiny: no such folder, and from the Hub: ") {
		t.Fatal(err)
	}
}

// Of many that fetch at once each file is fetched by one.
func TestTogether(t *testing.T) {
	s := newServer(t)
	files := tiny()
	s.Commit("main", files)
	id, _ := Parse("Org/Tiny")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Fetch(context.Background(), id, true, t.Output()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	dir, _ := fetched(t, s, "Org/Tiny", true)
	same(t, dir, files, wanted)
	n := 0
	for _, a := range s.Asked {
		if strings.HasPrefix(a, "GET cdn") {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d large files were fetched, of 3", n)
	}
}

// A cache that cannot be written will do if the model is in it.
func TestReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("the superuser writes everywhere")
	}
	s := newServer(t)
	files := map[string][]byte{"config.json": []byte("{}"), WeightsFile: random(2000)}
	s.Commit("main", files)
	dir, _ := fetched(t, s, "Org/Tiny", true)
	root := filepath.Join(dir, "..", "..")
	os.RemoveAll(filepath.Join(root, ".no_exist")) // as a program leaves it that asked for these two files only
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			t.Cleanup(func() { os.Chmod(p, 0o777) })
			os.Chmod(p, 0o555)
		}
		return nil
	})
	fetched(t, s, "Org/Tiny", true)
}

// Python's library fetches the same model from the same server into a cache of its own:
// the two caches are alike, and each finds what the other fetched.
func TestPython(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON does not name a Python with huggingface_hub")
	}
	s := newServer(t)
	first := s.Commit("v1", map[string][]byte{"config.json": []byte("{}"), WeightsFile: random(2000)})
	files := tiny()
	s.Commit("main", files)
	theirs := t.TempDir()
	run := func(cache, more, code string) {
		t.Helper()
		cmd := exec.Command(python, "-c", "from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache, _CACHED_NO_EXIST\nfrom huggingface_hub.errors import EntryNotFoundError\nimport json, sys\n"+code)
		cmd.Env = append(os.Environ(), "HF_HUB_CACHE="+cache, "HF_HUB_DISABLE_TELEMETRY=1", more)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	asks, _ := json.Marshal(append(slices.Clone(sideFiles), WeightsFile, IndexFile, wanted[5], wanted[6]))
	run(theirs, "HF_HUB_DISABLE_XET=1", fmt.Sprintf(`
for name in json.loads('%s'):
    try: hf_hub_download("Org/Tiny", name)
    except EntryNotFoundError: pass
hf_hub_download("Org/Tiny", "config.json", revision="v1")
hf_hub_download("Org/Tiny", "model.safetensors", revision="v1")
`, asks))
	fetched(t, s, "Org/Tiny", true)
	ours, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Find(ID{"Org", "Tiny", "v1"}, true); err == nil {
		t.Fatal("v1 was not fetched yet")
	}
	fetched(t, s, "Org/Tiny@v1", true)
	a, b := tree(t, ours), tree(t, theirs)
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if strings.HasPrefix(name, "models--") && a[name] != b[name] {
			t.Errorf("%s: ours %q, theirs %q", name, a[name], b[name])
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok && !strings.Contains(name, ".no_exist/"+first) {
			t.Errorf("%s is in our cache only", name)
		}
	}
	run(ours, "HF_HUB_OFFLINE=1", `
snapshot_download("Org/Tiny")
hf_hub_download("Org/Tiny", "model-00001-of-00002.safetensors")
hf_hub_download("Org/Tiny", "model.safetensors", revision="v1")
assert try_to_load_from_cache("Org/Tiny", "chat_template.jinja") is _CACHED_NO_EXIST
`)
	s.Asked = nil
	t.Setenv("HF_HUB_CACHE", theirs)
	fetched(t, s, "Org/Tiny", true)
	if want := []string{"HEAD /Org/Tiny/resolve/main/config.json"}; !slices.Equal(s.Asked, want) {
		t.Errorf("of what Python fetched: asked %q", s.Asked)
	}
}

// tree is what is in a cache but for locks: contents of files, targets of links.
func tree(t *testing.T, dir string) map[string]string {
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		switch {
		case err != nil:
			return err
		case d.Name() == ".locks":
			return fs.SkipDir
		case d.Type()&fs.ModeSymlink != 0:
			m[rel], err = os.Readlink(p)
		case !d.IsDir():
			var data []byte
			data, err = os.ReadFile(p)
			m[rel] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
