package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// precompiled is SentencePiece's normalisation: a double array of byte strings
// whose values are places in a table of replacements that end with a zero
// (google/sentencepiece, normalizer.cc; huggingface/spm_precompiled).
type precompiled struct {
	trie  []uint32
	table string
}

func readPrecompiled(data []byte) (*precompiled, error) {
	if len(data) < 4 {
		return nil, errors.New("it has no trie")
	}
	n := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if uint64(n) > uint64(len(data)) || n < 4 {
		return nil, errors.New("its trie is longer than the map")
	}
	p := &precompiled{trie: make([]uint32, n/4)}
	for i := range p.trie {
		p.trie[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	p.table = string(data[4*len(p.trie):])
	if !utf8.ValidString(p.table) {
		return nil, errors.New("its replacements are no UTF-8")
	}
	return p, nil
}

// lookup is the replacement for the shortest prefix of s that has one.
func (p *precompiled) lookup(s string) (string, bool) {
	offset := func(u uint32) uint32 { return (u >> 10) << ((u & (1 << 9)) >> 6) }
	at := offset(p.trie[0])
	for i := range len(s) {
		if s[i] == 0 {
			break
		}
		at ^= uint32(s[i])
		if at >= uint32(len(p.trie)) {
			return "", false
		}
		u := p.trie[at]
		if u&(1<<31|0xff) != uint32(s[i]) {
			return "", false
		}
		at ^= offset(u)
		if u>>8&1 == 1 {
			if at >= uint32(len(p.trie)) {
				return "", false
			}
			value := int(p.trie[at] & (1<<31 - 1))
			if value > len(p.table) || value < len(p.table) && !utf8.RuneStart(p.table[value]) {
				return "", false
			}
			rest := p.table[value:]
			if end := strings.IndexByte(rest, 0); end >= 0 {
				rest = rest[:end]
			}
			return rest, true
		}
	}
	return "", false
}

// normalize looks every grapheme up that is short, else each of its characters.
func (p *precompiled) normalize(x text) text {
	changes := make([]change, 0, len(x.s))
	modified := false
	put := func(old, by string) {
		modified = true
		for _, r := range by {
			changes = append(changes, change{r, 0})
		}
		more := utf8.RuneCountInString(by) - utf8.RuneCountInString(old)
		for k := range max(0, more) {
			changes[len(changes)-1-k].by = 1
		}
		// What is gone without a trace belongs to the character before, whatever that is.
		if more < 0 && len(changes) > 0 {
			changes[len(changes)-1].by += more
		}
	}
	for i := 0; i < len(x.s); {
		n := grapheme(x.s[i:])
		g := x.s[i : i+n]
		i += n
		if len(g) < 6 {
			if by, ok := p.lookup(g); ok {
				put(g, by)
				continue
			}
		}
		for _, r := range g {
			c := string(r)
			if by, ok := p.lookup(c); ok {
				put(c, by)
			} else {
				changes = append(changes, change{r, 0})
			}
		}
	}
	if !modified {
		return x
	}
	return x.transform(changes, 0)
}

// grapheme is the length of the first grapheme cluster of s (Unicode Standard
// Annex #29).
func grapheme(s string) int {
	if s[0] < utf8.RuneSelf && s[0] != '\r' && (len(s) == 1 || s[1] < utf8.RuneSelf) {
		return 1
	}
	g, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return len(g)
}
