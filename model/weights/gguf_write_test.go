package weights

import (
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Every float16 is read as a float32 that is written as it, and what lies between
// two goes to the nearer one, to the even one from the middle.
func TestFloatToHalf(t *testing.T) {
	for h := range 1 << 16 {
		x := halfToFloat(uint16(h))
		if x != x {
			if y := floatToHalf(x); halfToFloat(y) == halfToFloat(y) {
				t.Fatalf("NaN %#04x became %#04x", h, y)
			}
			continue
		}
		if got := floatToHalf(x); got != uint16(h) {
			t.Fatalf("%g is %#04x, not %#04x", x, h, got)
		}
		if h&0x7fff >= 0x7bff {
			continue // the largest one, and infinity
		}
		next := halfToFloat(uint16(h) + 1)
		middle := float32((float64(x) + float64(next)) / 2) // exact: one more bit
		even := uint16(h) + uint16(h)&1
		for _, c := range []struct {
			x    float32
			want uint16
		}{
			{middle, even},
			{math.Nextafter32(middle, x), uint16(h)},
			{math.Nextafter32(middle, next), uint16(h) + 1},
		} {
			if got := floatToHalf(c.x); got != c.want {
				t.Fatalf("%g between %#04x and the next is %#04x, not %#04x", c.x, h, got, c.want)
			}
		}
	}
	for x, want := range map[float32]uint16{65519.99: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, -1e30: 0xfc00, 1e-30: 0, -1e-30: 0x8000} {
		if got := floatToHalf(x); got != want {
			t.Errorf("%g is %#04x, not %#04x", x, got, want)
		}
	}
}

func TestWriteGGUFIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	values := func(row int, dst []float32) error {
		for i := range dst {
			dst[i] = float32(10*row + i)
		}
		return nil
	}
	metadata := []KeyValue{{"s", "text"}, {"u", uint32(7)}, {"f", float32(0.5)}, {"yes", true}, {"no", false},
		{"list", []string{"a", ""}}, {"ints", []int32{1, -2}}, {"floats", []float32{0.25, -1}}}
	tensors := []Named{{"a", "F32", []int{3}, values}, {"b", "BF16", []int{2, 5}, values}, {"c", "F16", []int{5, 3}, values}}
	if err := WriteGGUF(path, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := map[string]any{"s": "text", "u": uint64(7), "f": 0.5, "yes": true, "no": false,
		"list": []string{"a", ""}, "ints": []int32{1, -2}, "floats": []float32{0.25, -1}}
	if got := c.gguf.values; !reflect.DeepEqual(got, want) {
		t.Errorf("the metadata is %v", got)
	}
	for _, n := range tensors {
		info, _ := c.Info(n.Name)
		if info.DType != n.DType || !reflect.DeepEqual(info.Shape, n.Shape) {
			t.Errorf("tensor %s is %+v", n.Name, info)
		}
		rows, cols := 1, n.Shape[0]
		if len(n.Shape) == 2 {
			rows, cols = n.Shape[0], n.Shape[1]
		}
		got, want := make([]float32, cols), make([]float32, cols)
		for r := range rows {
			if err := c.ReadRows(n.Name, r, r+1, got); err != nil {
				t.Fatal(err)
			}
			values(r, want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("tensor %s, row %d is %v", n.Name, r, got)
			}
		}
	}
	large := []Named{{"a", "F16", []int{1, 2}, func(_ int, dst []float32) error { dst[0], dst[1] = 1, 1e6; return nil }}}
	for what, err := range map[string]error{
		"float16 cannot hold": WriteGGUF(path, nil, large),
		"the name is taken":   WriteGGUF(path, []KeyValue{{"s", "a"}, {"s", "b"}}, nil),
		"not written":         WriteGGUF(path, nil, []Named{{"a", "Q8_0", []int{32}, values}}),
		"of type int":         WriteGGUF(path, []KeyValue{{"s", 1}}, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
