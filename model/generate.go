package model

import (
	"context"
	"fmt"
)

// Generation says how rows are continued.
type Generation struct {
	MaxNew int // tokens of a completion, at most
	Slots  int // rows at a time, at most: their cache takes no more than 2 GiB, unless one alone does
	// Stop says whether the new tokens of a row end it; the last one is new since
	// the call before.
	Stop func(ids []int32) bool
}

// Completion is what a model said: greedily, always the likeliest token, of
// equally likely ones that with the smaller id.
type Completion struct {
	IDs     []int32 // the one that stopped it included
	LogProb float64 // of all of them
	Stopped bool    // by Stop; otherwise MaxNew, or the model's positions, are used up
}

// maxCache bounds the cache of several rows in bytes.
const maxCache = 2 << 30

// prefillTokens is the most tokens that go through the model at once.
const prefillTokens = 2048

// Generate completes prompts, several at a time, and calls done for each as it is
// finished. What a row becomes does not depend on the others. Between tokens it
// gives up when ctx is cancelled.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, g Generation, done func(i int, c Completion) error) error {
	if g.MaxNew < 1 || g.Slots < 1 {
		return fmt.Errorf("%d new tokens of %d rows at a time: at least 1 each", g.MaxNew, g.Slots)
	}
	longest := 0
	for i, p := range prompts {
		if len(p) == 0 {
			return fmt.Errorf("prompt %d is empty: there is nothing to continue", i)
		}
		if limit := m.spec.MaxPositions; limit > 0 && len(p) >= limit {
			return fmt.Errorf("prompt %d has %d tokens, the model %d positions", i, len(p), limit)
		}
		longest = max(longest, len(p))
	}
	room := longest + g.MaxNew
	if limit := m.spec.MaxPositions; limit > 0 {
		room = min(room, limit)
	}
	fit := max(1, maxCache/(int64(room)*m.cacheBytes()))
	slots := int(min(int64(min(g.Slots, len(prompts))), fit))
	r := &generator{m: m, g: g, done: done, cache: m.NewCache(slots, room)}
	r.rows = make([]*growing, len(r.cache.used))
	for {
		for s := range r.rows {
			if r.rows[s] == nil && r.next < len(prompts) {
				r.rows[s] = &growing{index: r.next, feed: prompts[r.next], room: min(g.MaxNew, room-len(prompts[r.next]))}
				r.cache.Reset(s)
				r.next++
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if working, err := r.step(); !working || err != nil {
			return err
		}
	}
}

// growing is a row in a slot.
type growing struct {
	index int
	feed  []int32 // tokens that the model has not seen yet
	room  int     // tokens that may still come
	c     Completion
}

type generator struct {
	m     *Model
	g     Generation
	done  func(int, Completion) error
	cache *Cache
	rows  []*growing // of each slot, nil: free
	next  int        // prompt
}

// step feeds every row what it has to be fed, as far as prefillTokens go, and
// takes the next token of those that were fed everything. It says whether any
// row was there.
func (r *generator) step() (bool, error) {
	var more []More
	left := max(prefillTokens, len(r.rows))
	for s, x := range r.rows {
		if x == nil {
			continue
		}
		n := min(len(x.feed), left-(len(r.rows)-1-s)) // one token for each row at least
		more = append(more, More{s, x.feed[:n]})
		x.feed = x.feed[n:]
		left -= n
	}
	if len(more) == 0 {
		return false, nil
	}
	next, logprob, err := r.m.Extend(r.cache, more)
	if err != nil {
		return true, err
	}
	for i, e := range more {
		x := r.rows[e.Slot]
		if len(x.feed) > 0 {
			continue
		}
		x.c.IDs = append(x.c.IDs, next[i])
		x.c.LogProb += float64(logprob[i])
		x.room--
		x.c.Stopped = r.g.Stop(x.c.IDs)
		if x.c.Stopped || x.room == 0 {
			r.rows[e.Slot] = nil
			if err := r.done(x.index, x.c); err != nil {
				return true, err
			}
			continue
		}
		x.feed = next[i : i+1]
	}
	return true, nil
}
