package report

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// thousands is n with commas between thousands.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// compact is n in at most five columns.
func compact(n int64) string {
	f := float64(n)
	switch {
	case n < 1e5:
		return strconv.FormatInt(n, 10)
	case n < 1e6:
		return strconv.FormatInt(n/1e3, 10) + "k"
	case n < 1e9:
		return strconv.FormatFloat(f/1e6, 'f', 0, 64) + "M"
	}
	return strconv.FormatFloat(f/1e9, 'f', 0, 64) + "G"
}

// num is n in four significant digits; - where it is undefined.
func num(n Num) string {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "-"
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

// short is an edge of the plane in at most six columns.
func short(f float64) string { return strconv.FormatFloat(f, 'g', 2, 64) }

func percent(f float64) string {
	switch p := 100 * f; {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "-"
	case p == 0 || p >= 1:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	case p >= 0.01:
		return strconv.FormatFloat(p, 'g', 2, 64) + "%"
	}
	return "<0.01%"
}

// clip shortens s to n columns.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// pad is s in exactly n columns.
func pad(s string, n int) string {
	s = clip(s, n)
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}

// wrap breaks s at spaces into lines of at most n columns where it can.
func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// tail is the last n columns of s.
func tail(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}
