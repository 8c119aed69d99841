package lock

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"eaft/internal/store"
)

// Claims are who makes which shard: files in a folder or bucket that all who
// share the shards see. The claim of a shard is a file NNNNN.claim.G that can be
// created once. Who finds that the holder of claim G shows no life creates claim
// G+1; whoever succeeds is the holder, and the one before, if it lives after all,
// sees that and stops. Nobody ever removes another's claim, so that there is no moment at
// which two could take one away from the other. That two do make a shard at
// once, because one stood still for longer than the lease, does no harm: what
// they make is the same, and appears whole or not at all.
type Claims struct {
	dir   string
	lease time.Duration
	me    claim // what the files of its claims say

	mu   sync.Mutex
	mine map[int]int // generation by shard

	seen map[string]sighting // of others' claims
}

// claim is the content of a claim's file. Its holder counts Beat up; others
// measure with their own clock for how long it stands still, so that clocks of
// machines need not agree.
type claim struct {
	Owner
	Nonce    string    `json:"nonce"`
	Beat     int64     `json:"beat"`
	At       time.Time `json:"at"`       // of the beat, by the holder's clock: for people
	Released bool      `json:"released"` // the holder gave up
}

type sighting struct {
	beat int64
	at   time.Time
}

// OpenClaims is a process among those that share the shards of dir. Who shows no
// life for the lease has lost what it claimed.
func OpenClaims(dir string, lease time.Duration) (*Claims, error) {
	if err := store.MkdirAll(dir); err != nil {
		return nil, err
	}
	return &Claims{dir: dir, lease: lease, me: claim{Owner: self(), Nonce: rand.Text()}, mine: map[int]int{}, seen: map[string]sighting{}}, nil
}

// Nonce is this process' own among all that share the shards.
func (c *Claims) Nonce() string { return c.me.Nonce }

func (c *Claims) path(shard, generation int) string {
	return store.Join(c.dir, fileOf(shard, generation))
}

// fileOf names the file of a claim.
func fileOf(shard, generation int) string { return fmt.Sprintf("%05d.claim.%d", shard, generation) }

// maxGeneration is more than a shard's claims ever reach.
const maxGeneration = 1 << 30

// latest is the highest generation of each shard that is claimed. Files of other
// names are no claims.
func (c *Claims) latest() (map[int]int, error) {
	entries, err := store.ReadDir(c.dir)
	if err != nil && !(store.IsURL(c.dir) && errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	out := map[int]int{}
	for _, e := range entries {
		var shard, generation int
		if _, err := fmt.Sscanf(e.Name, "%d.claim.%d", &shard, &generation); err != nil || e.Name != fileOf(shard, generation) || generation < 0 || generation > maxGeneration {
			continue
		}
		if g, ok := out[shard]; !ok || generation > g {
			out[shard] = generation
		}
	}
	return out, nil
}

// Take claims up to n of the shards; none, if all are in hands that live.
func (c *Claims) Take(shards []int, n int) (got []int, err error) {
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
			if g == maxGeneration || !c.free(s, g) {
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

// create makes a claim's file.
func (c *Claims) create(shard, generation int) (bool, error) {
	me := c.me
	me.At = now()
	data, err := json.Marshal(me)
	if err != nil {
		return false, err
	}
	if made, err := store.CreateNew(c.path(shard, generation), data); err != nil || !made {
		return false, err
	}
	c.mu.Lock()
	c.mine[shard] = generation
	c.mu.Unlock()
	return true, nil
}

// free reports that nobody alive holds the claim.
func (c *Claims) free(shard, generation int) bool {
	path := c.path(shard, generation)
	have := read(path)
	if have.Nonce == c.me.Nonce {
		return false
	}
	if have.Released || have.Dead() {
		return true
	}
	was, ok := c.seen[path]
	if !ok || was.beat != have.Beat {
		c.seen[path] = sighting{have.Beat, time.Now()}
		return false
	}
	return time.Since(was.at) > c.lease
}

// read is what stands in a claim's file.
func read(path string) (have claim) {
	data, err := store.ReadFile(path)
	if err != nil || json.Unmarshal(data, &have) != nil {
		return claim{Beat: -1} // what says nothing stands still
	}
	return have
}

// Holder is who holds a shard, and how often it has shown life.
func (c *Claims) Holder(shard int) (Owner, int64, error) {
	latest, err := c.latest()
	if err != nil {
		return Owner{}, 0, err
	}
	g, ok := latest[shard]
	if !ok {
		return Owner{}, 0, nil
	}
	have := read(c.path(shard, g))
	return have.Owner, have.Beat, nil
}

// Beat shows life on all claims that are held, and names those that others have
// taken over: they are held no more, and nothing is written of them again.
func (c *Claims) Beat() (lost []int, err error) {
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
			delete(c.mine, shard)
			continue
		}
		if err := c.write(shard, g, c.me); err != nil {
			return lost, err
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// write replaces the content of a claim's file as a whole. In a folder it is not
// waited for to reach the disk: a claim is worth nothing after a crash.
func (c *Claims) write(shard, generation int, v claim) error {
	v.At = now()
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := c.path(shard, generation)
	if store.IsURL(path) {
		return store.WriteFile(path, data)
	}
	temp := store.Join(c.dir, "."+c.me.Nonce+".beat")
	if err := os.WriteFile(temp, data, 0o666); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// remove removes a claim's file, if it is there.
func (c *Claims) remove(shard, generation int) error {
	return store.RemoveIfThere(c.path(shard, generation))
}

// Drop gives the claims back, of shards that were made or that were given up.
func (c *Claims) Drop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all error
	for shard := range c.mine {
		all = errors.Join(all, c.release(shard))
	}
	return all
}

// dropOne gives the claim of one shard back.
func (c *Claims) dropOne(shard int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.release(shard)
}

// generation is that of the claim that is held of the shard.
func (c *Claims) generation(shard int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mine[shard]
}

// release gives one claim back; mu is held.
func (c *Claims) release(shard int) error {
	generation, held := c.mine[shard]
	if !held {
		return nil // it was lost
	}
	gone := c.me
	gone.Released = true
	err := c.write(shard, generation, gone)
	delete(c.mine, shard)
	return err
}
