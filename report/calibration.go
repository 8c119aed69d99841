package report

import (
	"context"
	"math"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// calibrationBins are of equal width in the top token's probability.
const calibrationBins = 15

// Calibration says how far the model's confidence in its top token is from how
// often that token comes, on an annotation of ordinary text.
type Calibration struct {
	Targets int64            `json:"targets"`
	ECE     Num              `json:"ece"` // expected calibration error: mean over targets of |accuracy - confidence| of the bin
	Bins    []CalibrationBin `json:"bins"`
}

// CalibrationBin holds the targets whose top token has a probability above Low,
// up to the next bin's.
type CalibrationBin struct {
	Low        Num   `json:"low"`
	Targets    int64 `json:"targets"`
	Confidence Num   `json:"confidence"` // mean probability of the top token
	Accuracy   Num   `json:"accuracy"`   // how often it is the target
}

type calibrationSum struct {
	bins [calibrationBins]struct {
		n, right int64
		sum      float64
	}
}

func (c *calibrationSum) visit(_ int64, s *parquet.ScoresRow, _ *parquet.TokensRow, _ []int) error {
	for j := range s.Pos {
		p := math.Exp(float64(s.Top1LogProb[j]))
		b := &c.bins[min(max(int(math.Ceil(p*calibrationBins))-1, 0), calibrationBins-1)]
		b.n++
		b.sum += p
		if s.Top1ID[j] == s.Token[j] {
			b.right++
		}
	}
	return nil
}

// calibrate reads an annotation made by the same model; all its targets count.
func calibrate(ctx context.Context, dir string, m *parquet.Manifest) (*Calibration, error) {
	d, err := dataset(dir, parquet.SchemaScores)
	if err != nil {
		return nil, err
	}
	if have, want := d.Manifest.Hashes["model"], m.Hashes["model"]; have != want {
		return nil, cli.Usagef("%s: hashes.model is %q, but the scores are of %q; --calibration takes scores of the same model", store.Join(dir, parquet.ManifestName), have, want)
	}
	p := &pass{scores: d}
	parts := make([]*calibrationSum, len(d.Shards))
	var sum calibrationSum
	err = p.run(ctx, true, func(i int) visit {
		parts[i] = new(calibrationSum)
		return parts[i].visit
	}, func(i int) {
		for b, o := range parts[i].bins {
			sum.bins[b].n += o.n
			sum.bins[b].right += o.right
			sum.bins[b].sum += o.sum
		}
		parts[i] = nil
	})
	if err != nil {
		return nil, err
	}
	c := &Calibration{}
	var gap float64
	for i, b := range sum.bins {
		n := float64(b.n)
		c.Targets += b.n
		gap += math.Abs(float64(b.right) - b.sum)
		c.Bins = append(c.Bins, CalibrationBin{Num(float64(i) / calibrationBins), b.n, Num(b.sum / n), Num(float64(b.right) / n)})
	}
	c.ECE = Num(gap / float64(c.Targets))
	return c, nil
}
