package tokenizer

import (
	"unicode/utf8"
)

// unigram takes the tokens whose scores add up highest (Kudo 2018;
// huggingface/tokenizers, models/unigram/model.rs, encode_optimized).
type unigram struct {
	tokens   *trie
	scores   []float64
	unk      int32
	unkScore float64
	names    *names
	fallback bool
	bytes    [256]int32 // byte tokens; -1: none
}

// node is the best way to a place in the word: the score, and the token before it.
type node struct {
	score    float64
	from, id int32 // from -1: no way yet
}

const unkPenalty = 10 // below the lowest score

func (m *unigram) tokenize(e *encoder, w string, out []piece) []piece {
	e.best = e.best[:0]
	for range len(w) + 1 {
		e.best = append(e.best, node{from: -1})
	}
	best := e.best
	for i := 0; i < len(w); {
		_, n := utf8.DecodeRuneInString(w[i:])
		here, single := best[i].score, false
		for k, at := i, int32(0); k < len(w); {
			if at = m.tokens.step(at, w[k]); at < 0 {
				break
			}
			k++
			if id := m.tokens.ids[at]; id >= 0 {
				if s := m.scores[id] + here; best[k].from < 0 || s > best[k].score {
					best[k] = node{s, int32(i), id}
				}
				single = single || k-i == n
			}
		}
		if !single {
			if s := m.unkScore + here; best[i+n].from < 0 || s > best[i+n].score {
				best[i+n] = node{s, int32(i), m.unk}
			}
		}
		i += n
	}
	from := len(out)
	for end := int32(len(w)); end > 0; {
		b := best[end]
		lo := b.from
		for b.id == m.unk && lo > 0 && best[lo].id == m.unk { // unknown neighbours become one
			lo = best[lo].from
		}
		out = m.put(out, w, b.id, lo, end)
		end = lo
	}
	for i, k := from, len(out)-1; i < k; i, k = i+1, k-1 {
		out[i], out[k] = out[k], out[i]
	}
	return out
}

// put appends the pieces of one token, the last first.
func (m *unigram) put(out []piece, w string, id, lo, hi int32) []piece {
	if id != m.unk {
		return append(out, piece{id, lo, hi})
	}
	if whole, ok := m.names.get(w[lo:hi]); ok {
		return append(out, piece{whole, lo, hi})
	}
	if m.fallback {
		known := true
		for k := lo; k < hi; k++ {
			known = known && m.bytes[w[k]] >= 0
		}
		if known {
			for k := hi - 1; k >= lo; k-- {
				out = append(out, piece{m.bytes[w[k]], lo, hi})
			}
			return out
		}
	}
	return append(out, piece{id, lo, hi})
}
