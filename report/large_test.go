package report

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"eaft/internal/cli"
	"eaft/parquet"
)

// TestLarge states rate and memory of Build on a generated annotation of
// EAFT_LARGE targets, such as 100000000; EAFT_LARGE_DIR says where to keep it.
func TestLarge(t *testing.T) {
	n, _ := strconv.ParseInt(os.Getenv("EAFT_LARGE"), 10, 64)
	if n == 0 {
		t.Skip("EAFT_LARGE says how many targets to generate")
	}
	dir := os.Getenv("EAFT_LARGE_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	scores, tokens := filepath.Join(dir, "scores"), filepath.Join(dir, "tokens")
	if _, err := parquet.ReadManifest(scores); err != nil {
		generate(t, scores, tokens, n)
	}
	before := cli.PeakMemory()
	began := time.Now()
	o := options(t, scores, "q=0.15")
	o.Shown = 500
	r := build(t, o)
	took := time.Since(began)
	t.Logf("%d targets of %d rows in %.1f s: %.1f million targets/s; peak memory %d MiB (%d MiB before)", r.Targets, r.Rows, took.Seconds(),
		float64(r.Targets)/1e6/took.Seconds(), cli.PeakMemory()>>20, before>>20)
	t.Logf("%d conflicts, %d pairs, lost %d and %d", r.Conflicts, r.PairsTotal, r.PairsLost, r.RepeatsLost)
}

// generate writes rows of 500 tokens, 300 of them trained, as random as real
// scores are; it takes 40 bytes a target on the disk.
func generate(t *testing.T, scores, tokens string, n int64) {
	t.Helper()
	const length, prompt, shardRows = 500, 200, 1 << 13
	for _, d := range []string{scores, tokens} {
		must(t, os.MkdirAll(d, 0o777))
	}
	tok, err := os.ReadFile("testdata/tokenizer.json")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(scores, "_tokenizer.json"), tok, 0o666))
	tm := &parquet.Manifest{Schema: parquet.SchemaTokens, Version: "test"}
	sm := &parquet.Manifest{Schema: parquet.SchemaScores, Version: "test", K: testK, Targets: "trained", Tokens: "../tokens"}
	rng := rand.New(rand.NewPCG(1, 1))
	rows := n / (length - prompt)
	shards := int((rows + shardRows - 1) / shardRows)
	for i := range shards {
		name := parquet.ShardName(i, shards)
		tw, err := parquet.CreateTokens(filepath.Join(tokens, name))
		must(t, err)
		sw, err := parquet.CreateScores(filepath.Join(scores, name), 0)
		must(t, err)
		for k := int64(i) * shardRows; k < min(rows, int64(i+1)*shardRows); k++ {
			id := "row-" + strconv.FormatInt(k, 10)
			tr := &parquet.TokensRow{ID: id, Source: "source-" + strconv.FormatInt(k%50, 10) + ".jsonl", Row: k,
				Spans: []parquet.Span{{Role: "user", Turn: 0, Start: 0, End: prompt}, {Role: "assistant", Turn: 1, Start: prompt, End: length}}}
			sr := &parquet.ScoresRow{ID: id}
			for pos := range int32(length) {
				token, label := rng.Int32N(50000), int32(parquet.Ignore)
				if pos >= prompt {
					label = token
					h := rng.Float64() * rng.Float64()
					lp := float32(math.Log(rng.Float64()) * 2)
					top := rng.Int32N(50000)
					sr.Pos, sr.Token, sr.LogProb = append(sr.Pos, pos), append(sr.Token, token), append(sr.LogProb, lp)
					sr.Entropy, sr.TopKEntropy, sr.TopKMass = append(sr.Entropy, float32(3*h+.1)), append(sr.TopKEntropy, float32(h*math.Log(testK))), append(sr.TopKMass, float32(1-h*rng.Float64()/4))
					sr.Top1LogProb, sr.Rank, sr.Top1ID = append(sr.Top1LogProb, max(lp, -0.1)), append(sr.Rank, rng.Int32N(30)), append(sr.Top1ID, top)
				}
				tr.InputIDs, tr.Labels = append(tr.InputIDs, token), append(tr.Labels, label)
			}
			must(t, tw.Write(tr))
			must(t, sw.Write(sr))
		}
		ti, err := tw.Commit(parquet.Meta{Schema: parquet.SchemaTokens})
		must(t, err)
		si, err := sw.Commit(parquet.Meta{Schema: parquet.SchemaScores, K: testK})
		must(t, err)
		tm.Shards, sm.Shards = append(tm.Shards, ti), append(sm.Shards, si)
	}
	sm.Hashes = map[string]string{"tokens": tm.ContentHash()}
	must(t, parquet.WriteManifest(tokens, tm))
	must(t, parquet.WriteManifest(scores, sm))
}
