package tokenize

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"eaft/internal/cli"
	"eaft/internal/store"
)

// trainSplit is the dataset of the rows that no other split takes.
const trainSplit = "train"

// Share is a split and its share of the rows.
type Share struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// ParseSplit reads what --split was given: NAME=2% or NAME=0.02, several apart
// by commas.
func ParseSplit(args []string) ([]Share, error) {
	var out []Share
	total := 0.0
	for _, arg := range args {
		for _, part := range strings.Split(arg, ",") {
			name, value, ok := strings.Cut(part, "=")
			name, value = strings.TrimSpace(name), strings.TrimSpace(value)
			number, percent := strings.CutSuffix(value, "%")
			share, err := strconv.ParseFloat(number, 64)
			if percent {
				share /= 100
			}
			switch {
			case !ok || err != nil || !(share > 0 && share < 1):
				return nil, cli.Usagef("--split %q: use NAME=SHARE, such as held-out=2%%, a share above 0%% and below 100%%", part)
			case name == "" || name == trainSplit || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "":
				return nil, cli.Usagef("--split %q: a name has letters, digits and hyphens, and is not %q, which is the rest", part, trainSplit)
			case slices.ContainsFunc(out, func(s Share) bool { return s.Name == name }):
				return nil, cli.Usagef("--split: %s is given twice", name)
			}
			total += share
			out = append(out, Share{name, share})
		}
	}
	if total >= 1 {
		return nil, cli.Usagef("--split: %v%% of the rows leave none for %s", 100*total, trainSplit)
	}
	return out, nil
}

// splitOf is the number of the split a record belongs to, 0 for train. It
// depends on the content only: copies stay together, and no other row, model or
// seed moves a row to another split.
func splitOf(key contentKey, shares []Share) int {
	at := float64(binary.BigEndian.Uint64(key[:8])>>11) / (1 << 53)
	for i, s := range shares {
		if at < s.Share {
			return i + 1
		}
		at -= s.Share
	}
	return 0
}

// dirs are the folders of the datasets: --out itself, or one for each split in it.
func (o *Options) dirs() []string {
	if len(o.Split) == 0 {
		return []string{o.Out}
	}
	out := []string{store.Join(o.Out, trainSplit)}
	for _, s := range o.Split {
		out = append(out, store.Join(o.Out, s.Name))
	}
	return out
}

// splitName names split i for people.
func (o *Options) splitName(i int) string {
	switch {
	case len(o.Split) == 0:
		return ""
	case i == 0:
		return trainSplit
	}
	return fmt.Sprintf("%s (%g%%)", o.Split[i-1].Name, 100*o.Split[i-1].Share)
}
