package weights

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.json", "{}")
	nan := math.Float32frombits(0x7fc12345)
	inf := float32(math.Inf(1))
	values := map[string][]float32{
		"matrix":    {0, -1.5, 3e38, 1e-45, float32(math.Copysign(0, -1)), nan, inf, -inf, 0.1, 2, 3, 4},
		"vector":    {1, 2, 3, 4, 5},
		"scalar":    {-7},
		"cube":      {1, 2, 3, 4, 5, 6, 7, 8},
		"weird \"é": {1},
	}
	shapes := map[string][]int{"matrix": {3, 4}, "vector": {5}, "scalar": nil, "cube": {2, 2, 2}, "weird \"é": {1, 1}}
	var named []Named
	for _, name := range []string{"vector", "matrix", "scalar", "cube", "weird \"é"} {
		named = append(named, Named{name, "F32", shapes[name], func(row int, dst []float32) error {
			copy(dst, values[name][row*len(dst):])
			return nil
		}})
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := WriteSafetensors(path, named, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	for name, want := range values {
		got := readAll(t, c, name)
		if !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if info, _ := c.Info(name); info.DType != "F32" || !slices.Equal(info.Shape, shapes[name]) {
			t.Errorf("%s: %v", name, info)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "null") || !strings.Contains(string(data), `"__metadata__":{"format":"pt"}`) {
		t.Errorf("header %q", data[:300])
	}
}

// TestBF16 has the bits that round-to-nearest-even gives, worked out by hand.
func TestBF16(t *testing.T) {
	in := []uint32{
		0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, // 1; ties to even down and up; just above and below a tie
		0xbf808000, 0xbf818000, 0x80000000, 0x00000001, 0x00008000, 0x00018000,
		0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xff80ffff, 0x7fffffff, // overflow, infinities, NaNs
	}
	want := []uint32{
		0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80,
		0xbf80, 0xbf82, 0x8000, 0x0000, 0x0000, 0x0002,
		0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x7fc0, 0xffc0, 0x7fff,
	}
	dir := t.TempDir()
	write(t, dir, "config.json", "{}")
	err := WriteSafetensors(filepath.Join(dir, "model.safetensors"), []Named{{"t", "BF16", []int{len(in)}, func(_ int, dst []float32) error {
		for i, b := range in {
			dst[i] = math.Float32frombits(b)
		}
		return nil
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range readAll(t, open(t, dir), "t") {
		if got := math.Float32bits(x); got != want[i]<<16 {
			t.Errorf("%08x: got %04x, want %04x", in[i], got>>16, want[i])
		}
	}
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	write(t, dir, "model.safetensors", "old")
	broken := errors.New("broken")
	ok := func(int, []float32) error { return nil }
	for _, c := range []struct {
		tensors []Named
		want    string
	}{
		{[]Named{{"a", "F32", []int{2}, ok}, {"b", "F32", []int{2, 2}, func(row int, _ []float32) error {
			if row == 1 {
				return broken
			}
			return nil
		}}}, "broken"},
		{[]Named{{"a", "Q8_0", []int{32}, ok}}, "Q8_0 is not written"},
		{[]Named{{"a", "F16", []int{2}, func(_ int, dst []float32) error { dst[1] = 65520; return nil }}}, "float16 cannot hold"},
		{[]Named{{"a", "F32", []int{0}, ok}}, "not possible"},
		{[]Named{{"a", "F32", []int{1}, ok}, {"a", "F32", []int{1}, ok}}, "taken"},
		{[]Named{{"__metadata__", "F32", []int{1}, ok}}, "taken"},
	} {
		if err := WriteSafetensors(path, c.tensors, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
		data, _ := os.ReadFile(path)
		files, _ := os.ReadDir(dir)
		if string(data) != "old" || len(files) != 1 {
			t.Errorf("%s: a failure left %q and %d files", c.want, data, len(files))
		}
	}
}
