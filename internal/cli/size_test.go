package cli

import "testing"

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"4GiB": 4 << 30, "1.5GB": 1.5e9, "512 MiB": 512 << 20, "1000": 1000, "7B": 7, "2KB": 2000} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "GiB", "-1GiB", "4G", "four", "NaN", "0", "1e30GB", "InfGB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q is read as %d", s, got)
		}
	}
}
