package tokenizer

import "unicode/utf8"

// text is a part of the text as it was given, perhaps normalised, with the bytes
// that each of its bytes came from (huggingface/tokenizers, normalizer.rs,
// NormalizedString). A character's bytes all point to the same ones.
type text struct {
	s            string
	base         int     // where s begins, if it is unchanged
	starts, ends []int32 // for each byte of s; nil: unchanged
}

// start is where the character came from that s[i] is of.
func (x *text) start(i int) int32 {
	if x.starts != nil {
		return x.starts[i]
	}
	for i > 0 && i < len(x.s) && x.s[i]&0xc0 == 0x80 {
		i--
	}
	return int32(x.base + i)
}

// end is the end of what the character came from that s[i-1] is of.
func (x *text) end(i int) int32 {
	if x.starts != nil {
		return x.ends[i-1]
	}
	for i < len(x.s) && x.s[i]&0xc0 == 0x80 {
		i++
	}
	return int32(x.base + i)
}

// slice is s[lo:hi], which begins and ends at characters.
func (x *text) slice(lo, hi int) text {
	if x.starts != nil {
		return text{s: x.s[lo:hi], starts: x.starts[lo:hi], ends: x.ends[lo:hi]}
	}
	return text{s: x.s[lo:hi], base: x.base + lo}
}

// repaired reads every wrong byte as U+FFFD, which points to that byte.
func repaired(s string) text {
	var b builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		b.add(r, int32(i), int32(i+n))
		i += n
	}
	return b.text()
}

// builder makes a text from another.
type builder struct {
	s            []byte
	starts, ends []int32
}

func (b *builder) add(r rune, start, end int32) {
	n := len(b.s)
	b.s = utf8.AppendRune(b.s, r)
	for range len(b.s) - n {
		b.starts, b.ends = append(b.starts, start), append(b.ends, end)
	}
}

// keep adds x.s[lo:hi] as it is.
func (b *builder) keep(x *text, lo, hi int) {
	b.s = append(b.s, x.s[lo:hi]...)
	if x.starts != nil {
		b.starts, b.ends = append(b.starts, x.starts[lo:hi]...), append(b.ends, x.ends[lo:hi]...)
		return
	}
	for lo < hi {
		n := 1
		if x.s[lo] >= utf8.RuneSelf {
			_, n = utf8.DecodeRuneInString(x.s[lo:])
		}
		for range n {
			b.starts, b.ends = append(b.starts, int32(x.base+lo)), append(b.ends, int32(x.base+lo+n))
		}
		lo += n
	}
}

// insert adds s, which came from where the character before x.s[i:] did.
func (b *builder) insert(s string, x *text, i int) {
	var start, end int32
	if i > 0 {
		start, end = x.start(i-1), x.end(i)
	}
	b.s = append(b.s, s...)
	for range len(s) {
		b.starts, b.ends = append(b.starts, start), append(b.ends, end)
	}
}

func (b *builder) text() text {
	if b.starts == nil {
		b.starts = []int32{} // not nil: nothing is left
	}
	return text{s: string(b.s), starts: b.starts, ends: b.ends}
}

// change is a character of a new text: by 0 it takes the place of one of the old
// text, by 1 it is new and comes from where the one before it does, by -n it
// takes the place of one and the n after it are gone.
type change struct {
	r  rune
	by int
}

// transform applies changes; the first characters of x are gone.
func (x *text) transform(changes []change, first int) text {
	var b builder
	at := 0
	skip := func(n int) {
		for ; n > 0 && at < len(x.s); n-- {
			_, m := utf8.DecodeRuneInString(x.s[at:])
			at += m
		}
	}
	skip(first)
	for _, c := range changes {
		var start, end int32
		switch {
		case c.by <= 0 && at < len(x.s):
			start, end = x.start(at), x.end(at+1)
		case at > 0:
			start, end = x.start(at-1), x.end(at)
		}
		b.add(c.r, start, end)
		if c.by <= 0 {
			skip(1 - c.by)
		}
	}
	return b.text()
}

func newBuilder(n int) *builder {
	return &builder{make([]byte, 0, n), make([]int32, 0, n), make([]int32, 0, n)}
}
