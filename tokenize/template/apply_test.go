package template

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// cases are the conversations that templates are compared on.
type cases struct {
	variables, conversations []*Dict
}

func readCases(t testing.TB) cases {
	t.Helper()
	data, err := os.ReadFile("testdata/conversations.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	dicts := func(v any) (out []*Dict) {
		for _, d := range v.([]any) {
			out = append(out, d.(*Dict))
		}
		return out
	}
	d := v.(*Dict)
	return cases{dicts(d.Values["variables"]), dicts(d.Values["conversations"])}
}

// vars are the variables of one rendering.
func (c cases) vars(conversation, variables int) *Dict {
	d := NewDict()
	d.Set("messages", c.conversations[conversation].Values["messages"])
	for _, k := range c.variables[variables].Keys {
		d.Set(k, c.variables[variables].Values[k])
	}
	return d
}

// templates are the files of EAFT_TEMPLATES, else those of testdata.
func templates(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("EAFT_TEMPLATES")
	if dir == "" {
		dir = "testdata"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jinja"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.jinja in %s: %v", dir, err)
	}
	return files
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestApplyEqualsTransformers compares every template on every conversation
// with the apply_chat_template of the Python that EAFT_PYTHON names:
// EAFT_TEMPLATES names a folder of templates to take instead of testdata.
func TestApplyEqualsTransformers(t *testing.T) {
	python := os.Getenv("EAFT_PYTHON")
	if python == "" {
		t.Skip("EAFT_PYTHON names no interpreter with transformers")
	}
	files, c := templates(t), readCases(t)
	cmd := exec.Command(python, append([]string{"testdata/apply.py", "testdata/conversations.json"}, files...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := json.NewDecoder(bufio.NewReader(pipe))
	exact, failing, different := 0, 0, 0
	for _, file := range files {
		tm, parsed := Parse(readFile(t, file))
		for i := range c.conversations {
			for k := range c.variables {
				var want struct {
					Text, Error *string
					Generation  [][2]int
				}
				if err := out.Decode(&want); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				var got Output
				err := parsed
				if err == nil {
					got, err = tm.Apply(c.vars(i, k))
				}
				name := filepath.Base(file) + ", " + c.conversations[i].Values["name"].(string)
				switch {
				case want.Error != nil && err != nil:
					failing++
				case want.Error != nil:
					different++
					t.Errorf("%s, variables %d: %.80q; transformers fails: %s", name, k, got.Text.S, *want.Error)
				case err != nil:
					different++
					t.Errorf("%s, variables %d: %v; transformers renders %.80q", name, k, err, *want.Text)
				case got.Text.S != *want.Text:
					different++
					at := differ(got.Text.S, *want.Text)
					t.Errorf("%s, variables %d: from byte %d on %.80q, transformers renders %.80q", name, k, at, got.Text.S[at:], (*want.Text)[at:])
				default:
					exact++
					if want.Generation != nil && !sameRanges(got, want.Generation) {
						different++
						t.Errorf("%s, variables %d: generation blocks %v (bytes), transformers has %v (characters)", name, k, got.Generation, want.Generation)
					}
				}
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d templates: %d renderings exact, %d fail in both, %d different", len(files), exact, failing, different)
}

// differ is the first byte in which two texts differ.
func differ(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// sameRanges compares byte ranges of out with character ranges.
func sameRanges(out Output, want [][2]int) bool {
	if len(out.Generation) != len(want) {
		return false
	}
	for i, g := range out.Generation {
		lo := utf8.RuneCountInString(out.Text.S[:g[0]])
		if lo != want[i][0] || lo+utf8.RuneCountInString(out.Text.S[g[0]:g[1]]) != want[i][1] {
			return false
		}
	}
	return true
}
