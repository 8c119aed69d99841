package pipeline

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eaft/parquet"
)

// TestStatusOfShards: while a stage makes its shards one after the other, the status
// says how many are there; those of a split are when all of its datasets have them.
func TestStatusOfShards(t *testing.T) {
	for options, files := range map[string][]string{
		"{shards: 4}":                  {"out/%s"},
		"{shards: 4, split: held=20%}": {"out/train/%s", "out/held/%s"},
	} {
		c, err := load(t, "model: m\ncorpora: c.jsonl\ntokenize: "+options+"\n")
		if err != nil {
			t.Fatal(err)
		}
		write := func(name, data string) {
			t.Helper()
			err := os.MkdirAll(filepath.Dir(c.at(name)), 0o777)
			if err == nil {
				err = os.WriteFile(c.at(name), []byte(data), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		write("c.jsonl", "{}\n")
		p := &Pipeline{Config: c, Runner: &Runner{Out: io.Discard, Err: io.Discard}, ModelHash: func(string) (string, error) { return "sha256:m", nil },
			ISA: func(name string) (string, error) { return cmp.Or(name, "generic"), nil }}
		says := func(want string) {
			t.Helper()
			st, err := p.Status(t.Context())
			var text bytes.Buffer
			if err == nil {
				err = st.Text(&text)
			}
			if first, _, _ := strings.Cut(text.String(), "\n"); err != nil || !strings.Contains(first, want) || strings.Contains(first, "shards") != strings.Contains(want, "shards") {
				t.Errorf("%s: %q, want %q (%v)", options, first, want, err)
			}
		}
		says("never ran")
		plan, err := p.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := plan[0]
		write(s.Folder+"/"+recordName, `{"step":"tokenize","key":"`+s.Key+`","attempts":[{}]}`)
		says("0 of 4 shards")
		for i, shard := range []int{0, 2} {
			for _, f := range files {
				write(s.Folder+"/"+strings.Replace(f, "%s", parquet.ShardName(shard, 4), 1), "x")
			}
			says([]string{"1 of 4 shards", "2 of 4 shards"}[i])
		}
		write(s.Folder+"/"+strings.Replace(files[0], "%s", "."+parquet.ShardName(1, 4)+".part", 1), "x")
		if len(files) > 1 {
			write(s.Folder+"/"+strings.Replace(files[0], "%s", parquet.ShardName(3, 4), 1), "x")
		}
		says("2 of 4 shards")
	}
}
