package template

import (
	"fmt"
	"math"
	"strings"
	"time"
)

var globals map[string]callable

func init() {
	globals = map[string]callable{
		"raise_exception": func(r *run, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "message")
			r.fail("%s", r.str(p[0]).S)
			return nil
		},
		"strftime_now": func(r *run, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "format")
			return r.strftime(r.wantText(p[0]).S, time.Now())
		},
		"range": func(r *run, a []any, kw *kwargs) any {
			if len(a) == 0 || len(a) > 3 {
				r.fail("range takes one to three integers")
			}
			b := []int64{0, 0, 1}
			for i, v := range a {
				b[i] = r.wantInt(v)
			}
			if len(a) == 1 {
				b[0], b[1] = 0, b[0]
			}
			if b[2] == 0 {
				r.fail("range() arg 3 must not be zero")
			}
			out := &list{view: "range", shown: fmt.Sprintf("range(%d, %d)", b[0], b[1])}
			if b[2] != 1 {
				out.shown = fmt.Sprintf("range(%d, %d, %d)", b[0], b[1], b[2])
			}
			for i := b[0]; b[2] > 0 && i < b[1] || b[2] < 0 && i > b[1]; i += b[2] {
				if len(out.items) >= 100000 {
					r.fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).")
				}
				out.items = append(out.items, i)
				if b[2] > 0 && i > math.MaxInt64-b[2] || b[2] < 0 && i < math.MinInt64-b[2] {
					break
				}
			}
			r.tick(len(out.items))
			return out
		},
		"dict": func(r *run, a []any, kw *kwargs) any { return r.newDict(a, kw) },
		"cycler": func(r *run, a []any, kw *kwargs) any {
			if len(a) == 0 {
				r.fail("at least one item has to be provided")
			}
			return &cycler{items: a}
		},
		"joiner": func(r *run, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "sep")
			sep, used := any(NewText(", ", Literal)), false
			if given[0] {
				sep = p[0]
			}
			return callable(func(r *run, a []any, kw *kwargs) any {
				r.params(a, kw)
				if !used {
					used = true
					return Text{}
				}
				return sep
			})
		},
		"namespace": func(r *run, a []any, kw *kwargs) any {
			d := r.newDict(a, kw)
			for k := range d.Values {
				if strings.HasPrefix(k, "_") {
					r.fail("a namespace cannot store the attribute %q", k)
				}
			}
			return &namespace{d.Values}
		},
	}
}

// cycler hands out its items in turn.
type cycler struct {
	items []any
	i     int
}

func (c *cycler) attr(name string, missing any) any {
	switch name {
	case "current":
		return c.items[c.i]
	case "next", "reset":
		return callable(func(r *run, a []any, kw *kwargs) any {
			r.params(a, kw)
			if name == "reset" {
				c.i = 0
				return nil
			}
			v := c.items[c.i]
			c.i = (c.i + 1) % len(c.items)
			return v
		})
	}
	return missing
}

func (r *run) newDict(a []any, kw *kwargs) *Dict {
	d := NewDict()
	if len(a) > 1 {
		r.fail("dict takes at most one argument")
	}
	if len(a) == 1 {
		if src, ok := a[0].(*Dict); ok {
			if o, ok := r.origins[src]; ok {
				r.origins[d] = o
			}
			for _, k := range src.Keys {
				r.tick(1)
				d.Set(k, src.Values[k])
			}
		} else {
			for _, e := range r.iterate(a[0]) {
				kv := r.iterate(e)
				if len(kv) != 2 {
					r.fail("dict needs pairs")
				}
				d.Set(r.key(kv[0]), kv[1])
			}
		}
	}
	for i, n := range kw.names {
		d.Set(n, kw.vals[i])
	}
	kw.names, kw.vals = nil, nil
	return d
}

// strftimeLayouts are Python's directives as Go's layouts, in the C locale and
// without a time zone, as datetime.now() has none.
var strftimeLayouts = map[byte]string{'d': "02", 'e': "_2", 'b': "Jan", 'h': "Jan", 'B': "January", 'Y': "2006", 'm': "01", 'y': "06", 'H': "15", 'M': "04",
	'S': "05", 'a': "Mon", 'A': "Monday", 'p': "PM", 'I': "03", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
	'x': "01/02/06", 'X': "15:04:05", 'c': "Mon Jan _2 15:04:05 2006", 'Z': "", 'z': "", 'n': "\n", 't': "\t"}

// strftime is Python's datetime.strftime.
func (r *run) strftime(format string, t time.Time) Text {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		short := format[i] == '-' && i+1 < len(format) // without leading zeros
		if short {
			i++
		}
		layout, ok := strftimeLayouts[format[i]]
		switch s := t.Format(layout); {
		case ok && short:
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
			b.WriteString(s)
		case ok:
			b.WriteString(s)
		case format[i] == 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1000)
		case format[i] == 'w':
			fmt.Fprint(&b, int(t.Weekday()))
		case format[i] == 'u':
			fmt.Fprint(&b, (int(t.Weekday())+6)%7+1)
		case format[i] == '%' && !short:
			b.WriteByte('%')
		default:
			r.fail("strftime_now does not know %%%c", format[i])
		}
	}
	return r.made(NewText(b.String(), Literal))
}
