package tokenizer

// scanner returns the end of the piece that begins at s[i:], which is not empty.
// Each one is a published pattern, written out by hand: linear, and without a
// regular expression engine that Go's standard library does not have (lookahead).
// Text that a pattern does not match is a piece, too.
type scanner func(s string, i int) int

// The published patterns, to the letter as they stand in tokenizer.json.
const (
	spaces = `\s*[\r\n]+|\s+(?!\S)|\s+`
	cased  = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
	small  = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	tail   = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`

	patternGPT2      = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternGPT2Short = `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3    = tail + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|` + spaces
	patternCL100K    = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	patternQwen2     = tail + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|` + spaces
	patternQwen35    = tail + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|` + spaces
	patternO200K     = `[^\r\n\p{L}\p{N}]?` + cased + `*` + small + `+` + tail + `?|[^\r\n\p{L}\p{N}]?` + cased + `+` + small + `*` + tail + `?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + spaces
	patternTekken    = `[^\r\n\p{L}\p{N}]?` + cased + `*` + small + `+|[^\r\n\p{L}\p{N}]?` + cased + `+` + small + `*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + spaces
	patternDigits3   = `\p{N}{1,3}`
	patternHan       = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
	patternDeepSeek  = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)

var patterns = map[string]scanner{
	patternGPT2:      scanGPT2,
	patternGPT2Short: scanGPT2,
	patternLlama3:    func(s string, i int) int { return scanCL100K(s, i, 3, letter) },
	patternCL100K:    func(s string, i int) int { return scanCL100K(s, i, 3, letter) },
	patternQwen2:     func(s string, i int) int { return scanCL100K(s, i, 1, letter) },
	patternQwen35:    func(s string, i int) int { return scanCL100K(s, i, 1, letter|mark) },
	patternO200K:     func(s string, i int) int { return scanO200K(s, i, 3, true) },
	patternTekken:    func(s string, i int) int { return scanO200K(s, i, 1, false) },
	patternDigits3:   scanDigits3,
	patternHan:       scanHan,
	patternDeepSeek:  scanDeepSeek,
}

// scanGPT2 is ByteLevel's own pattern (openai/gpt-2, encoder.py).
func scanGPT2(s string, i int) int {
	if end := contraction(s, i, false); end > i {
		return end
	}
	from := i
	c, n := at(s, i)
	if s[i] == ' ' {
		if next, m := at(s, i+1); m > 0 && next&space == 0 {
			i, c, n = i+1, next, m
		}
	}
	switch {
	case c&letter != 0:
		return while(s, i+n, letter)
	case c&number != 0:
		return while(s, i+n, number)
	case c&space == 0:
		return until(s, i+n, letter|number|space)
	}
	return blanks(s, from)
}

// blanks is \s+(?!\S)|\s+: all of a run but its last, if something follows.
func blanks(s string, i int) int {
	end := while(s, i, space)
	if end == len(s) {
		return end
	}
	last := end - 1
	for s[last]&0xc0 == 0x80 {
		last--
	}
	if last > i {
		return last
	}
	return end
}

// lines is \s*[\r\n]+|\s+(?!\S)|\s+: the first takes a run of white space up to
// its last line break.
func lines(s string, i int) int {
	end := while(s, i, space)
	for k := end; k > i; k-- {
		if s[k-1] == '\r' || s[k-1] == '\n' {
			return k
		}
	}
	return blanks(s, i)
}

// contraction is the end of 's 't 're 've 'm 'll 'd, or i; folded, in either
// case, and s also as U+017F, which case folding makes of it.
func contraction(s string, i int, fold bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return i
	}
	lower := func(k int) byte {
		if k >= len(s) {
			return 0
		}
		c := s[k]
		if fold && c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch a := lower(i + 1); a {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if lower(i+2) == 'e' {
			return i + 3
		}
	case 'l':
		if lower(i+2) == 'l' {
			return i + 3
		}
	case "ſ"[0]:
		if fold && i+2 < len(s) && s[i+2] == "ſ"[1] {
			return i + 3
		}
	}
	return i
}

// digits is the end of at most n numbers.
func digits(s string, i, n int) int {
	for ; n > 0; n-- {
		c, m := at(s, i)
		if c&number == 0 {
			break
		}
		i += m
	}
	return i
}

// scanCL100K is the pattern of cl100k and its kin; most is the longest run of
// numbers that stays together, word what a word consists of.
func scanCL100K(s string, i, most int, word uint8) int {
	if end := contraction(s, i, true); end > i {
		return end
	}
	c, n := at(s, i)
	if c&word != 0 && c&letter != 0 {
		return while(s, i+n, word)
	}
	if c&(number|newline) == 0 { // [^\r\n\p{L}\p{N}]?\p{L}+
		if next, m := at(s, i+n); next&word != 0 {
			return while(s, i+n+m, word)
		}
		if c&word != 0 { // a mark alone, where marks are of a word
			return i + n
		}
	}
	if c&number != 0 {
		return digits(s, i, most)
	}
	// " ?[^\s\p{L}\p{N}]+[\r\n]*"
	from := i
	if s[i] == ' ' {
		if next, m := at(s, i+1); m > 0 && next&(word|number|space) == 0 {
			i, c = i+1, next
		}
	}
	if c&space == 0 {
		return while(s, until(s, i, word|number|space), newline)
	}
	return lines(s, from)
}

// scanO200K is the pattern of o200k and of Mistral's Tekken, which has no
// contractions: words that end where a capital follows a small letter.
func scanO200K(s string, i, most int, contractions bool) int {
	c, n := at(s, i)
	end := -1
	if c&(letter|number|newline) == 0 { // a prefix, which a mark can be, too
		if end = camel(s, i+n); end < 0 && c&mark != 0 {
			end = camel(s, i)
		}
	} else if c&letter != 0 {
		end = camel(s, i)
	}
	if end >= 0 {
		if contractions {
			end = contraction(s, end, true)
		}
		return end
	}
	if c&number != 0 {
		return digits(s, i, most)
	}
	from := i
	if s[i] == ' ' {
		if next, m := at(s, i+1); m > 0 && next&(letter|number|space) == 0 {
			i, c = i+1, next
		}
	}
	if c&space == 0 {
		i = until(s, i, letter|number|space)
		for i < len(s) && (s[i] == '\r' || s[i] == '\n' || s[i] == '/') {
			i++
		}
		return i
	}
	return lines(s, from)
}

// camel is the end of cased*small+ from s[i:], else of cased+, else -1. Without a
// small letter after the cased run, small+ gets what the run can give back: its
// last character that has no case.
func camel(s string, i int) int {
	k, caseless := i, -1
	for {
		c, n := at(s, k)
		if c&upper == 0 {
			if c&lower != 0 {
				return while(s, k, lower)
			}
			break
		}
		k += n
		if c&lower != 0 {
			caseless = k
		}
	}
	switch {
	case caseless >= 0:
		return caseless
	case k > i:
		return k
	}
	return -1
}

// scanDigits3 is \p{N}{1,3}.
func scanDigits3(s string, i int) int {
	if end := digits(s, i, 3); end > i {
		return end
	}
	return until(s, i, number)
}

// scanHan is DeepSeek's second pattern: the unified ideographs of Unicode 1.1,
// Hiragana and Katakana.
func scanHan(s string, i int) int {
	first := isHan(s, i)
	for i < len(s) && isHan(s, i) == first {
		_, n := at(s, i)
		i += n
	}
	return i
}

func isHan(s string, i int) bool {
	if s[i] < 0xe3 || s[i] > 0xe9 || i+2 >= len(s) { // U+3040 to U+9FA5 take three bytes
		return false
	}
	r := rune(s[i]&0xf)<<12 | rune(s[i+1]&0x3f)<<6 | rune(s[i+2]&0x3f)
	return r >= 0x3040 && r <= 0x30ff || r >= 0x4e00 && r <= 0x9fa5
}

// scanDeepSeek is DeepSeek's third pattern. It matches neither numbers nor
// control characters by themselves.
func scanDeepSeek(s string, i int) int {
	if end := deepSeek(s, i); end > i {
		return end
	}
	for i < len(s) {
		_, n := at(s, i)
		i += n
		if i < len(s) && deepSeek(s, i) > i {
			break
		}
	}
	return i
}

// deepSeek is the end of the match at i, or i.
func deepSeek(s string, i int) int {
	isASCII := func(k int) bool {
		return k < len(s) && (s[k] >= 'a' && s[k] <= 'z' || s[k] >= 'A' && s[k] <= 'Z')
	}
	c, n := at(s, i)
	if n == 1 && c&punct != 0 && isASCII(i+1) {
		for i++; isASCII(i); {
			i++
		}
		return i
	}
	if c&letter != 0 {
		return while(s, i+n, letter|mark)
	}
	if c&(newline|punct) == 0 {
		if next, m := at(s, i+n); next&(letter|mark) != 0 {
			return while(s, i+n+m, letter|mark)
		}
		if c&mark != 0 {
			return i + n
		}
	}
	from := i
	if s[i] == ' ' {
		if next, m := at(s, i+1); m > 0 && next&punct != 0 {
			i, c = i+1, next
		}
	}
	switch {
	case c&punct != 0:
		return while(s, while(s, i, punct), newline)
	case c&space != 0:
		return lines(s, from)
	}
	return from
}

// gappy patterns leave text unmatched.
var gappy = map[string]struct{}{patternDigits3: {}, patternHan: {}, patternDeepSeek: {}}
