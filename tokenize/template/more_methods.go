package template

import (
	"strings"
	"unicode"
	"unicode/utf8"

	xcases "golang.org/x/text/cases"
)

// The string methods that chat templates rarely use.
func init() {
	cased := func(is, other func(rune) bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			r.params(a, kw)
			r.room(len(t.S) / 16)
			return strings.IndexFunc(t.S, is) >= 0 && strings.IndexFunc(t.S, other) < 0
		}
	}
	upperOrTitle := func(c rune) bool { return unicode.IsUpper(c) || unicode.IsTitle(c) }
	stringMethods["islower"] = cased(unicode.IsLower, upperOrTitle)
	stringMethods["isupper"] = cased(unicode.IsUpper, func(c rune) bool { return unicode.IsLower(c) || unicode.IsTitle(c) })
	every := func(is func(rune) bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			r.params(a, kw)
			r.room(len(t.S) / 16)
			return t.S != "" && strings.IndexFunc(t.S, func(c rune) bool { return !is(c) }) < 0
		}
	}
	stringMethods["isdecimal"] = every(unicode.IsDigit)
	stringMethods["isnumeric"] = every(unicode.IsNumber)
	stringMethods["swapcase"] = func(r *run, t Text, a []any, kw *kwargs) any {
		r.params(a, kw)
		return r.eachRune(t, func(s string) string {
			low := lower(s) // of the whole, for Σ
			var b strings.Builder
			for _, c := range s {
				n := len(lower(string(c)))
				switch {
				case unicode.IsUpper(c) || unicode.Is(unicode.Other_Uppercase, c):
					b.WriteString(low[:n])
				case unicode.IsTitle(c):
					b.WriteRune(c)
				default:
					b.WriteString(upper(string(c)))
				}
				low = low[n:]
			}
			return b.String()
		})
	}
	stringMethods["casefold"] = func(r *run, t Text, a []any, kw *kwargs) any {
		r.params(a, kw)
		return r.eachRune(t, xcases.Fold().String)
	}
	partition := func(last bool) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			p, _ := r.params(a, kw, "sep")
			sep := r.wantText(p[0]).S
			if sep == "" {
				r.fail("empty separator")
			}
			r.room(len(t.S))
			i := strings.Index(t.S, sep)
			if last {
				i = strings.LastIndex(t.S, sep)
			}
			parts := []any{t, Text{}, Text{}}
			switch {
			case i >= 0:
				parts = []any{t.Slice(0, i), t.Slice(i, i+len(sep)), t.Slice(i+len(sep), len(t.S))}
			case last:
				parts = []any{Text{}, Text{}, t}
			}
			return &list{items: parts, tuple: true}
		}
	}
	stringMethods["partition"], stringMethods["rpartition"] = partition(false), partition(true)
	pad := func(share func(width, n int) (left, right int)) method {
		return func(r *run, t Text, a []any, kw *kwargs) any {
			p, given := r.params(a, kw, "width", "fillchar")
			fill := NewText(" ", Literal)
			if given[1] {
				fill = r.wantText(p[1])
			}
			width := int(max(0, min(r.wantInt(p[0]), maxOutput)))
			n := width - r.length(t)
			if n <= 0 {
				return t
			}
			left, right := share(width, n)
			return r.concat(r.repeat(fill, int64(left)), t, r.repeat(fill, int64(right)))
		}
	}
	stringMethods["ljust"] = pad(func(_, n int) (int, int) { return 0, n })
	stringMethods["rjust"] = pad(func(_, n int) (int, int) { return n, 0 })
	stringMethods["center"] = pad(func(width, n int) (int, int) {
		left := n/2 + n&width&1 // as CPython rounds
		return left, n - left
	})
	stringMethods["zfill"] = func(r *run, t Text, a []any, kw *kwargs) any {
		p, _ := r.params(a, kw, "width")
		n := int(max(0, min(r.wantInt(p[0]), maxOutput))) - utf8.RuneCountInString(t.S)
		sign := 0
		if t.S != "" && strings.IndexByte("+-", t.S[0]) >= 0 {
			sign = 1
		}
		return r.concat(t.Slice(0, sign), r.repeat(NewText("0", Literal), int64(n)), t.Slice(sign, len(t.S)))
	}
	stringMethods["format"] = func(r *run, t Text, a []any, kw *kwargs) any { return r.braces(t, a, kw) }
}
