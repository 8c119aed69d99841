package pipeline

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// claims are who makes which shard of a step: files in the step's folder
// shards. The claim of a shard is a file NNNNN.claim.G that can be created once.
// Who finds that the holder of claim G shows no life creates claim G+1; whoever
// succeeds is the holder, and the one before, if it lives after all, sees that
// and stops. Nobody ever removes another's claim, so that there is no moment at
// which two could take one away from the other. That two do make a shard at
// once, because one stood still for longer than the lease, does no harm: what
// they make is the same, and appears whole or not at all.
type claims struct {
	dir   string
	lease time.Duration
	me    claim

	mu   sync.Mutex
	mine map[int]int // generation by shard

	seen map[string]sighting // of others' claims
}

// claim is the content of a claim's file. Its holder counts Beat up; others
// measure with their own clock for how long it stands still, so that clocks of
// machines need not agree.
type claim struct {
	owner
	Nonce    string `json:"nonce"`
	Beat     int64  `json:"beat"`
	Released bool   `json:"released"` // the holder gave up
}

type sighting struct {
	beat int64
	at   time.Time
}

func openClaims(dir string, lease time.Duration) (*claims, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return &claims{dir: dir, lease: lease, me: claim{owner: self(), Nonce: rand.Text()}, mine: map[int]int{}, seen: map[string]sighting{}}, nil
}

func (c *claims) path(shard, generation int) string {
	return filepath.Join(c.dir, fmt.Sprintf("%05d.claim.%d", shard, generation))
}

// latest is the highest generation of each shard that is claimed.
func (c *claims) latest() (map[int]int, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	out := map[int]int{}
	for _, e := range entries {
		var shard, generation int
		if n, err := fmt.Sscanf(e.Name(), "%d.claim.%d", &shard, &generation); n != 2 || err != nil || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if g, ok := out[shard]; !ok || generation > g {
			out[shard] = generation
		}
	}
	return out, nil
}

// take claims up to n of the shards; none, if all are in hands that live.
func (c *claims) take(shards []int, n int) (got []int, err error) {
	latest, err := c.latest()
	if err != nil {
		return nil, err
	}
	for _, s := range shards {
		if len(got) == n {
			break
		}
		generation := 0
		if g, claimed := latest[s]; claimed {
			if !c.free(s, g) {
				continue
			}
			generation = g + 1
		}
		ok, err := c.create(s, generation)
		if err != nil {
			return got, err
		}
		if ok {
			got = append(got, s)
		}
	}
	return got, nil
}

// create makes a claim's file. It is linked to its name when it is whole, which
// fails if the name is there.
func (c *claims) create(shard, generation int) (bool, error) {
	data, err := json.Marshal(c.me)
	if err != nil {
		return false, err
	}
	temp := filepath.Join(c.dir, "."+c.me.Nonce)
	if err := os.WriteFile(temp, data, 0o666); err != nil {
		return false, err
	}
	err = os.Link(temp, c.path(shard, generation))
	os.Remove(temp)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.mine[shard] = generation
	c.mu.Unlock()
	return true, nil
}

// free reports that nobody alive holds the claim.
func (c *claims) free(shard, generation int) bool {
	path := c.path(shard, generation)
	var have claim
	if err := readJSON(path, &have); err != nil {
		have = claim{Beat: -1} // what says nothing stands still
	}
	if have.Nonce == c.me.Nonce {
		return false
	}
	if have.Released || have.dead() {
		return true
	}
	was, ok := c.seen[path]
	if !ok || was.beat != have.Beat {
		c.seen[path] = sighting{have.Beat, time.Now()}
		return false
	}
	return time.Since(was.at) > c.lease
}

// beat shows life on all claims that are held, and names those that others have
// taken over.
func (c *claims) beat() (lost []int, err error) {
	latest, err := c.latest()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.me.Beat++
	for shard, g := range c.mine {
		if latest[shard] > g {
			lost = append(lost, shard)
			continue
		}
		if err := c.write(shard, g, c.me); err != nil {
			return lost, err
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// write replaces the content of a claim's file as a whole. That it reaches the
// disk is not waited for: a claim is worth nothing after a crash.
func (c *claims) write(shard, generation int, v claim) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := filepath.Join(c.dir, "."+c.me.Nonce+".beat")
	if err := os.WriteFile(temp, data, 0o666); err != nil {
		return err
	}
	return os.Rename(temp, c.path(shard, generation))
}

// drop gives the claims back, of shards that were made or that were given up.
func (c *claims) drop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.me
	gone.Released = true
	var all error
	for shard, g := range c.mine {
		all = errors.Join(all, c.write(shard, g, gone))
	}
	clear(c.mine)
	return all
}
