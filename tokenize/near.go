package tokenize

import (
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"eaft/tokenize/template"
)

// Near duplicates by MinHash (Broder 1997) with locality-sensitive banding: a
// signature holds, for each of signatureSize hash functions, the smallest hash
// of the text's shingles. Two signatures agree at a share of their places that
// estimates the Jaccard similarity of the shingles, with a standard error of at
// most 0.5/sqrt(128) = 0.044.
const (
	signatureSize = 128
	shingleWords  = 5
)

type signature [signatureSize]uint32

// minHashes are the parameters of the hash functions h(x) = (a x + b) >> 32.
var minHashes = func() (h [signatureSize][2]uint64) {
	for i := range h {
		h[i] = [2]uint64{mix(uint64(2*i)) | 1, mix(uint64(2*i + 1))}
	}
	return h
}()

// signatureOf is over the shingles of the record's texts: five words in a row,
// without case and punctuation; of a text with fewer words, all of them.
func signatureOf(data *template.Dict) *signature {
	s := &signature{}
	for i := range s {
		s[i] = math.MaxUint32
	}
	contentTexts(data, func(text string) {
		var window [shingleWords]uint64
		n := 0
		add := func() {
			x := uint64(0)
			for i := range min(n, shingleWords) {
				x = x*0x9E3779B97F4A7C15 + window[(n-1-i)%shingleWords]
			}
			s.add(mix(x))
		}
		words(text, func(word uint64) {
			window[n%shingleWords] = word
			if n++; n >= shingleWords {
				add()
			}
		})
		if n > 0 && n < shingleWords {
			add()
		}
	})
	return s
}

func (s *signature) add(x uint64) {
	for i := range s {
		if h := uint32((minHashes[i][0]*x + minHashes[i][1]) >> 32); h < s[i] {
			s[i] = h
		}
	}
}

// words calls f with the hash of each word: a run of letters and digits, or one
// character of a script that is written without spaces.
func words(text string, f func(uint64)) {
	var buf []byte
	flush := func() {
		if len(buf) > 0 {
			f(xxhash.Sum64(buf))
			buf = buf[:0]
		}
	}
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf:
			switch {
			case r >= 'A' && r <= 'Z':
				buf = append(buf, byte(r)+'a'-'A')
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
				buf = append(buf, byte(r))
			default:
				flush()
			}
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
			flush()
			buf = utf8.AppendRune(buf, r)
			flush()
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			buf = utf8.AppendRune(buf, unicode.ToLower(r))
		default:
			flush()
		}
	}
	flush()
}

func (s *signature) similarity(o *signature) float64 {
	same := 0
	for i := range s {
		if s[i] == o[i] {
			same++
		}
	}
	return float64(same) / signatureSize
}
