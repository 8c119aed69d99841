package template

import (
	"fmt"
	"strconv"
	"strings"
)

// Keys of a Dict that are no strings begin with this byte, which no valid UTF-8
// has: an integer, a float, a boolean or None. As in Python 1, 1.0 and true are
// one key.
const otherKey = "\xff"

// hashed is v as a Dict's key; ok is false for what has no hash here.
func hashed(v any) (key string, ok bool) {
	switch v := bare(v).(type) {
	case Text:
		return v.S, true
	case nil:
		return otherKey + "None", true
	case int64, bool:
		n, _ := number(v)
		return otherKey + strconv.FormatInt(n.(int64), 10), true
	case float64:
		if v == float64(int64(v)) {
			return otherKey + strconv.FormatInt(int64(v), 10), true
		}
		return otherKey + formatFloat(v), true
	}
	return "", false
}

// key is v as a Dict's key; it fails for what cannot be one.
func (r *run) key(v any) string {
	k, ok := hashed(v)
	if !ok {
		r.fail("unhashable type: '%s'", typeName(v))
	}
	return k
}

// hashable fails for what Python takes neither for a key nor into a set.
func (r *run) hashable(v any) {
	switch v := v.(type) {
	case *Dict:
		r.key(v)
	case *list:
		if !v.tuple {
			r.key(v)
		}
		for _, e := range v.items {
			r.hashable(e)
		}
	}
}

// keyValue is the value that a Dict's key stands for.
func keyValue(k string, o Origin) any {
	rest, other := strings.CutPrefix(k, otherKey)
	if !other {
		return NewText(k, o)
	}
	if rest == "None" {
		return nil
	}
	if n, err := strconv.ParseInt(rest, 10, 64); err == nil {
		return n
	}
	f, _ := parseFloat(rest)
	return f
}

// jsonKey writes a Dict's key as json.dumps does: always a string.
func (w *writer) jsonKey(k string, o Origin) {
	switch v := keyValue(k, o).(type) {
	case Text:
		w.jsonString(v, o)
	case nil:
		w.put(`"null"`, o)
	case int64, float64:
		w.put(fmt.Sprintf("%q", jsonNumber(v)), o)
	}
}
