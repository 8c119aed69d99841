package tokenizer

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// float reads a score as serde_json does, by which Hugging Face's library reads its
// files: the digits that fit 64 bits, times or by a power of ten. From 17 digits on
// that is often not the nearest number, and the last bit decides between two ways to
// cut a word that are as likely (serde-rs/json, de.rs, f64_from_parts, without
// float_roundtrip).
func (r *scan) float() (float64, error) {
	s, negative := strings.CutPrefix(r.word(), "-")
	var significand uint64
	var digits, exponent int
	var point, full bool // full: no more digits fit
	for ; len(s) > 0 && s[0] != 'e' && s[0] != 'E'; s = s[1:] {
		c := s[0] - '0'
		switch {
		case s[0] == '.' && !point && digits > 0:
			point = true
			continue
		case c > 9:
			return 0, r.fail("a number was expected")
		}
		digits++
		high, low := bits.Mul64(significand, 10)
		sum, carry := bits.Add64(low, uint64(c), 0)
		if full = full || high+carry > 0; !full {
			significand = sum
		}
		switch {
		case full && !point:
			exponent++
		case !full && point:
			exponent--
		}
	}
	if len(s) > 0 {
		power, err := strconv.Atoi(s[1:])
		if err != nil || power > 1<<20 || power < -1<<20 {
			return 0, r.fail("a number was expected")
		}
		exponent += power
	}
	f := float64(significand)
	for ; exponent < -308 && f != 0; exponent += 308 {
		f /= 1e308
	}
	if exponent < 0 {
		f /= power10(-exponent)
	} else if f != 0 {
		f *= power10(exponent)
	}
	if digits == 0 || math.IsInf(f, 0) {
		return 0, r.fail("a number was expected")
	}
	if negative {
		f = -f
	}
	return f, nil
}

// power10 is the number nearest to 10^n, as math.Pow10 has it to 10^31 only.
func power10(n int) float64 {
	if n < 32 {
		return math.Pow10(n)
	}
	f, _ := strconv.ParseFloat("1e"+strconv.Itoa(n), 64) // infinite beyond 308
	return f
}
