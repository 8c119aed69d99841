package report

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"eaft/parquet"
)

// target is one scored target of a test row.
type target struct {
	pos              int32
	p, h, mass, full float64 // full: entropy of the whole distribution, nats
	top1             int32
	pTop1            float64
}

type testRow struct {
	id, source  string
	ids, labels []int32
	targets     []target
}

// small is worked out by hand in TestByHand. Pos 1 of row b is not trained.
// Row a's 1e-2 target conflicts; pos 4 does not, for its mass is low.
var small = []testRow{
	{"a", "x.jsonl", []int32{5, 1, 2, 6, 0}, []int32{-100, 1, 2, 6, 0}, []target{
		{1, .01, .05, .95, .2, 8, .93}, {2, .5, .5, .8, 2, 2, .5}, {3, .9, .1, .99, .3, 6, .9}, {4, .02, .02, .5, 3, 1, .4}}},
	{"b\x1b[31m", "x.jsonl", []int32{6, 3, 4, 7}, []int32{-100, -100, 4, 7}, []target{
		{1, .001, .01, 1, .1, 8, .99}, {2, .04, .1, .92, .5, 8, .9}, {3, .03, .03, .96, .1, 2, .95}}},
	{"c", "y.jsonl", []int32{0, 5, 6}, []int32{-100, 5, 6}, []target{{1, .8, .2, 1, .6, 5, .8}, {2, .3, .01, .98, .1, 8, .6}}},
	{"d", "y.jsonl", []int32{0}, []int32{-100}, nil},
}

const testK = 20

// write makes tokens and scores of rows under a new folder, two rows a shard.
func write(t testing.TB, rows []testRow, targets string) (scores, tokens string) {
	t.Helper()
	return writeTopK(t, rows, targets, 0)
}

// writeTopK stores n likeliest tokens too: top1 and those after it, each with
// half the probability of the last.
func writeTopK(t testing.TB, rows []testRow, targets string, n int) (scores, tokens string) {
	t.Helper()
	dir := t.TempDir()
	scores, tokens = filepath.Join(dir, "scores"), filepath.Join(dir, "tokens")
	tm := &parquet.Manifest{Schema: parquet.SchemaTokens, Version: "test"}
	sm := &parquet.Manifest{Schema: parquet.SchemaScores, Version: "test", K: testK, StoreTopK: n, Targets: targets, Tokens: "../tokens"}
	for _, d := range []string{scores, tokens} {
		must(t, os.MkdirAll(d, 0o777))
	}
	shards := (len(rows) + 1) / 2
	for i := range shards {
		name := parquet.ShardName(i, shards)
		tw, err := parquet.CreateTokens(filepath.Join(tokens, name))
		must(t, err)
		sw, err := parquet.CreateScores(filepath.Join(scores, name), n)
		must(t, err)
		for _, r := range rows[2*i : min(2*i+2, len(rows))] {
			row := &parquet.TokensRow{ID: r.id, Source: r.source, InputIDs: r.ids, Labels: r.labels}
			if n := int32(len(r.ids)); n > 10 { // a chat; its last token is the template's
				row.Spans = []parquet.Span{{Role: "user", Turn: 0, Start: 1, End: 6}, {Role: "assistant", Turn: 1, Start: 7, End: n - 1}}
			}
			must(t, tw.Write(row))
			s := &parquet.ScoresRow{ID: r.id}
			for _, g := range r.targets {
				if targets == "trained" && r.labels[g.pos] == parquet.Ignore {
					continue
				}
				s.Pos, s.Token = append(s.Pos, g.pos), append(s.Token, r.ids[g.pos])
				s.LogProb, s.Entropy = append(s.LogProb, float32(math.Log(g.p))), append(s.Entropy, float32(g.full))
				s.TopKEntropy, s.TopKMass = append(s.TopKEntropy, float32(g.h*math.Log(testK))), append(s.TopKMass, float32(g.mass))
				s.Top1ID, s.Top1LogProb = append(s.Top1ID, g.top1), append(s.Top1LogProb, float32(math.Log(g.pTop1)))
				s.Rank = append(s.Rank, 0)
				for j := range n {
					s.TopKID = append(s.TopKID, (g.top1+int32(j))%9)
					s.TopKLogProb = append(s.TopKLogProb, float32(math.Log(g.pTop1)-float64(j)*math.Ln2))
				}
			}
			must(t, sw.Write(s))
		}
		ti, err := tw.Commit(parquet.Meta{Schema: parquet.SchemaTokens})
		must(t, err)
		si, err := sw.Commit(parquet.Meta{Schema: parquet.SchemaScores, K: testK})
		must(t, err)
		tm.Shards, sm.Shards = append(tm.Shards, ti), append(sm.Shards, si)
	}
	sm.Hashes, sm.ISA, sm.DType, sm.Model = map[string]string{"tokens": tm.ContentHash(), "model": "sha256:" + strings.Repeat("0123456789abcdef", 4)}, "generic", "f32", "small\x1b.gguf"
	must(t, parquet.WriteManifest(tokens, tm))
	must(t, parquet.WriteManifest(scores, sm))
	tok, err := os.ReadFile("testdata/tokenizer.json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(scores, "_tokenizer.json"), tok, 0o666))
	return scores, tokens
}

// random is n rows of noise, for the oracle.
func random(n int) []testRow {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([]testRow, n)
	for i := range rows {
		r := testRow{id: "r" + strconv.Itoa(i), source: "s", ids: []int32{0}, labels: []int32{-100}}
		for pos := int32(1); pos < 20; pos++ {
			id := rng.Int32N(9)
			label := id
			if rng.IntN(4) == 0 {
				label = -100
			}
			r.ids, r.labels = append(r.ids, id), append(r.labels, label)
			h := rng.Float64() * rng.Float64()
			r.targets = append(r.targets, target{pos, rng.Float64(), h, .8 + .2*rng.Float64(), 3*h + rng.Float64(), rng.Int32N(9), .5})
		}
		rows[i] = r
	}
	return rows
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
