package cli

import "strings"

// Meant is the name that was probably meant by one that is not among names: it
// differs by two letters at most, or one begins with the other; "" if none does.
func Meant(name string, names []string) string {
	best, at := 3, ""
	for _, n := range names {
		if d := distance(name, n); d < best && 2*d <= len(name) {
			best, at = d, n
		}
	}
	for _, n := range names {
		if at == "" && min(len(n), len(name)) >= 3 && (strings.HasPrefix(n, name) || strings.HasPrefix(name, n)) {
			at = n
		}
	}
	return at
}

// distance is how many letters must change to make b of a (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
