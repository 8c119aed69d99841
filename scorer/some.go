package scorer

import (
	"context"

	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model/weights"
)

// some scores the shards that a worker was given and that are not there. Others
// may be at work in the folder: nothing but these shards is touched, and neither
// other shards' tokens nor their scores are read.
func (r *run) some(ctx context.Context, dev compute.Device, c *weights.Checkpoint) error {
	if n := len(r.data.Shards); n != r.o.ShardsOf {
		return cli.Usagef("--shard: the scores have %s, like their tokens in %s, not %d", cli.Count(int64(n), "shard"), r.o.Tokens, r.o.ShardsOf)
	}
	begun, err := r.begun()
	if err != nil {
		return err
	}
	missing := map[int]bool{}
	var total, done int64
	for _, i := range r.o.Shards {
		info, _, err := r.kept(i)
		if err != nil {
			return err
		}
		total += r.take[i]
		if info != nil {
			done += r.take[i]
		} else {
			missing[i] = true
			done += begun[i]
			if err := r.data.VerifyShard(i); err != nil {
				return unusable(err)
			}
			if err := r.check(ctx, i); err != nil {
				return err
			}
		}
	}
	r.goingOn(done, total)
	progress := cli.NewProgress(r.o.Log, "score", "rows", total, done)
	for _, i := range r.o.Shards {
		if !missing[i] {
			continue
		}
		info, _, err := r.kept(i)
		if err != nil {
			return err
		}
		if info != nil { // another has made it meanwhile
			progress.Add(r.take[i]-begun[i], "")
			continue
		}
		if err := r.load(dev, c); err != nil {
			return err
		}
		if _, _, err := r.shard(ctx, i, progress); err != nil {
			return err
		}
	}
	progress.Done()
	return nil
}
