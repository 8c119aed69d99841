package train

import (
	"fmt"
	"math/rand/v2"
)

// maxVisits bounds a plan, which is a list in memory: 1 GiB of it, and more than a
// CPU comes to the end of.
const maxVisits = 1 << 27

// step is what one optimizer step trains on.
type step struct {
	epoch int
	rows  []*row
}

// plan cuts epochs into optimizer steps. An epoch's order is a permutation of what
// the mixture takes of the rows by PCG(seed, epoch); rows join a step until it has batchTokens tokens, and an
// epoch's last step may be smaller. With steps > 0 epochs repeat until there
// are that many. It is an error if rows are visited more than limit times.
func (m mixture) plan(rows []*row, epochs, steps, batchTokens int, seed uint64, limit int) ([]step, error) {
	var out []step
	tooMany := fmt.Errorf("rows would be visited more than %d times, which is the most that is planned: ask for fewer", limit)
	if max(epochs, steps) > limit {
		return nil, tooMany
	}
	visits := 0
	for e := 0; (steps > 0 && len(out) < steps) || (steps == 0 && e < epochs); e++ {
		visited := m.epoch(rows, e, seed)
		if len(visited) == 0 { // and so in every epoch
			break
		}
		if visits += len(visited); visits > limit {
			return nil, tooMany
		}
		order := rand.New(rand.NewPCG(seed, uint64(e))).Perm(len(visited))
		cur, tokens := step{epoch: e}, 0
		for i, j := range order {
			r := visited[j]
			cur.rows = append(cur.rows, rows[r])
			tokens += len(rows[r].ids)
			if tokens >= batchTokens || i == len(order)-1 {
				out = append(out, cur)
				cur, tokens = step{epoch: e}, 0
				if len(out) == steps {
					break
				}
			}
		}
	}
	return out, nil
}

// micro cuts a step's rows, in order, into runs of at most limit tokens; a
// longer row goes alone.
func micro(rows []*row, limit int) [][]*row {
	var out [][]*row
	tokens := 0
	for _, r := range rows {
		if len(out) == 0 || tokens+len(r.ids) > limit {
			out, tokens = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], r)
		tokens += len(r.ids)
	}
	return out
}

// largest is the number of tokens of the largest micro-batch of steps.
func largest(steps []step) int {
	most := 0
	for _, s := range steps {
		most = max(most, largestMicro(micro(s.rows, MicroTokens)))
	}
	return most
}

func largestMicro(micro [][]*row) int {
	most := 0
	for _, rows := range micro {
		tokens := 0
		for _, r := range rows {
			tokens += len(r.ids)
		}
		most = max(most, tokens)
	}
	return most
}
