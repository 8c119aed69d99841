package tokenizer

// A byte-level vocabulary spells bytes by printable characters: printable
// Latin-1 as it is, the others from U+0100 on (openai/gpt-2, encoder.py,
// bytes_to_unicode).
var byteToRune, runeToByte = func() (to [256]rune, from map[rune]byte) {
	from = map[rune]byte{}
	next := rune(256)
	for c := range rune(256) {
		r := c
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			r = next
			next++
		}
		to[c], from[r] = r, byte(c)
	}
	return to, from
}()

// spelled is the bytes that a token of a byte-level vocabulary stands for.
func spelled(token string) ([]byte, bool) {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		c, ok := runeToByte[r]
		if !ok {
			return nil, false
		}
		b = append(b, c)
	}
	return b, true
}
