package tokenizer

import "testing"

// Scores are what Hugging Face's library 0.23.3 reads, to the last bit; those marked
// are not the nearest numbers.
func TestScores(t *testing.T) {
	for s, want := range map[string]float64{
		"-2.0122928619384766":       -0x1.0192d00000001p+1,  // T5's; the nearest ends in 0
		"-3.9598512649536133":       -0x1.fadc680000001p+1,  // T5's; likewise
		"-7.4370903968811035":       -0x1.dbf94a0000001p+2,  // T5's; likewise
		"-7.4974141120910645":       -0x1.dfd5a1fffffffp+2,  // T5's; the nearest ends in 2
		"-123456789012345678901234": -0x1.a249b1f10a06cp+76, // nor is this
		"-1.5":                      -0x1.8p+0,
		"-12.345678901234567":       -0x1.8b0fcd32f707ap+3,
		"-3.1415926535897932384626": -0x1.921fb54442d18p+1,
		"-0.1e-5":                   -0x1.0c6f7a0b5ed8dp-20,
		"-1e-320":                   -0x0.00000000007e8p-1022,
		"7":                         7,
		"-1.7976931348623157e308":   -0x1.fffffffffffffp+1023,
		"-0.30000000000000004":      -0x1.3333333333334p-2,
		"-9.000000000000000000000000000000001e-3": -0x1.26e978d4fdf3bp-7,
		"2.5E+2": 250,
		"0e999":  0,
	} {
		if got, err := (&scan{s: s}).float(); err != nil || got != want {
			t.Errorf("%s: %x, %v, want %x", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-", ".5", "x", "1.5.2", "0x1p3", "NaN", "inf", "1e", "1e400", "1e99999999999", "1_0"} {
		if got, err := (&scan{s: s}).float(); err == nil {
			t.Errorf("%q: %v, no error", s, got)
		}
	}
}
