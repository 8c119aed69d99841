package tokenize

import "eaft/tokenize/template"

type byteRange struct{ lo, hi int }

func (r byteRange) empty() bool { return r.lo >= r.hi }

func (r *byteRange) grow(lo, hi int) {
	if r.empty() {
		r.lo = lo
	}
	r.hi = hi
}

// turn is where a message stands in a rendering.
type turn struct {
	// region is what the template wrote while it was at the message. Of a
	// message that is rendered outside of a loop over the messages it reaches
	// from the turn before to the turn after, and exact is false.
	region byteRange
	exact  bool
	own    byteRange // from the first to the last of the message's bytes in region, its role aside
	calls  bool      // whether bytes of its tool_calls are there
}

// newTurns finds n messages in a rendering by the origin of its bytes. The
// region of a message that left no trace is empty.
func newTurns(out template.Output, n int) []turn {
	turns := make([]turn, n)
	for _, t := range out.Turns {
		if t.Message < n {
			turns[t.Message].region.grow(t.Start, t.End)
			turns[t.Message].exact = true
		}
	}
	first := make([]byteRange, n) // of the messages without a turn
	each(out.Text, func(o template.Origin, lo, hi int) {
		if m := o.Message; m >= 0 && m < n && !turns[m].exact && o.Field != "role" {
			first[m].grow(lo, hi)
		}
	})
	for i, r := range first {
		if !r.empty() {
			turns[i].region = between(out, r)
		}
	}
	each(out.Text, func(o template.Origin, lo, hi int) {
		if o.Message < 0 || o.Message >= n || o.Field == "role" {
			return
		}
		if t := &turns[o.Message]; lo >= t.region.lo && hi <= t.region.hi {
			t.own.grow(lo, hi)
			t.calls = t.calls || o.Field == "tool_calls"
		}
	})
	return turns
}

// each calls f with the stretches of one origin.
func each(t template.Text, f func(o template.Origin, lo, hi int)) {
	lo := 0
	for _, g := range t.Segs {
		f(g.Origin, lo, g.End)
		lo = g.End
	}
}

// between is the room around r that no other message's turn takes, or the turn
// of another message that r lies in, which was merged with this one.
func between(out template.Output, r byteRange) byteRange {
	room := byteRange{0, len(out.Text.S)}
	for _, t := range out.Turns {
		switch {
		case t.Start <= r.lo && r.hi <= t.End:
			return byteRange{t.Start, t.End}
		case t.End <= r.lo:
			room.lo = max(room.lo, t.End)
		case t.Start >= r.hi:
			room.hi = min(room.hi, t.Start)
		}
	}
	return room
}
