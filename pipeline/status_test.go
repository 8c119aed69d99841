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

// stand is a run of one corpus and these fields, none of whose stages can run, and what
// writes a file of it.
func stand(t *testing.T, fields string) (*Pipeline, func(name, data string)) {
	t.Helper()
	c, err := load(t, "model: m\ncorpora: c.jsonl\n"+fields+"\n")
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
	return &Pipeline{Config: c, Runner: &Runner{Out: io.Discard, Err: io.Discard}, ModelHash: func(string) (string, error) { return "sha256:m", nil },
		ISA: func(name string) (string, error) { return cmp.Or(name, "generic"), nil }}, write
}

// TestTokens: the tokens that stand beside a rate are those that it is of; where an
// attempt was killed, whose time nobody knows, there is no rate.
func TestTokens(t *testing.T) {
	ledger := &parquet.Ledger{RowsIn: 3, RowsOut: 3, Tokens: 120}
	for _, c := range []struct {
		s    StepStatus
		want string
	}{{StepStatus{}, ""}, {StepStatus{Ledger: ledger}, "120"}, {StepStatus{Ledger: ledger, Visited: 120}, "120"}, {StepStatus{Ledger: ledger, Visited: 360}, "120 (360 visited)"}} {
		if got := c.s.Tokens(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
	p, write := stand(t, "train: {steps: 2}")
	plan, err := p.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	train, err := find(plan, "train")
	if err != nil {
		t.Fatal(err)
	}
	write(train.out()+"/run.json", `{"ledger":{"rows_in":3,"rows_out":3,"tokens":120}}`)
	write(train.out()+"/summary.json", `{"tokens":360}`)
	for attempts, rate := range map[string]float64{
		`{"ended":true,"seconds":10},{"ended":true,"seconds":20}`: 12,
		`{"seconds":0},{"ended":true,"seconds":20}`:               0,
	} {
		write(train.Folder+"/"+recordName, `{"step":"train","key":"`+train.Key+`","attempts":[`+attempts+`]}`)
		st, err := p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := st.Steps[len(st.Steps)-1]; s.Tokens() != "120 (360 visited)" || s.TokensPerS != rate {
			t.Errorf("%s: %s tokens at %v a second, want %v", attempts, s.Tokens(), s.TokensPerS, rate)
		}
	}
	// Who is at work is known, and so is that nobody is.
	write(train.Folder+"/"+recordName, `{"step":"train","key":"`+train.Key+`","attempts":[{}]}`)
	why := func(want string) {
		t.Helper()
		st, err := p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := st.Steps[len(st.Steps)-1]; s.State != Resume || len(s.Why) != 1 || s.Why[0] != want {
			t.Errorf("%s %v, want %q", s.State, s.Why, want)
		}
	}
	why("was killed")
	_, held, err := p.acquire(t.Context(), p.at(p.Out, lockName), false, false, "")
	if err != nil {
		t.Fatal(err)
	}
	why("is at work")
	held.Close()
}

// TestStatusOfShards: while a stage makes its shards one after the other, the status
// says how many are there; those of a split are when all of its datasets have them.
func TestStatusOfShards(t *testing.T) {
	for options, files := range map[string][]string{
		"{shards: 4}":                  {"out/%s"},
		"{shards: 4, split: held=20%}": {"out/train/%s", "out/held/%s"},
	} {
		p, write := stand(t, "tokenize: "+options)
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
