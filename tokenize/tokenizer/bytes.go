package tokenizer

// A byte-level vocabulary spells bytes by printable characters: printable
// Latin-1 as it is, the others from U+0100 on (openai/gpt-2, encoder.py,
// bytes_to_unicode).
var byteToRune, runeToByte = func() (to [256]rune, from [324]int16) {
	for r := range from {
		from[r] = -1
	}
	next := rune(256)
	for c := range rune(256) {
		r := c
		if !(c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae) {
			r = next
			next++
		}
		to[c], from[r] = r, int16(c)
	}
	return to, from
}()

// spelled appends the bytes that a token of a byte-level vocabulary stands for.
func spelled(b []byte, token string) ([]byte, bool) {
	for _, r := range token {
		if int(r) >= len(runeToByte) || runeToByte[r] < 0 {
			return b, false
		}
		b = append(b, byte(runeToByte[r]))
	}
	return b, true
}
