package tokenize

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"io"

	"eaft/tokenize/template"
)

// contentKey identifies what a canonical record says, whatever its id, weight,
// tokenizer and template.
type contentKey [16]byte

func keyOf(data *template.Dict) contentKey {
	h := sha256.New()
	for _, k := range data.Keys {
		if k != "id" && k != weightTarget {
			hashValue(h, k)
			hashValue(h, data.Values[k])
		}
	}
	return contentKey(h.Sum(nil))
}

// hashValue writes a value in a form that no other value has.
func hashValue(h hash.Hash, v any) {
	tag := func(kind byte, n int) {
		var b [9]byte
		b[0] = kind
		binary.LittleEndian.PutUint64(b[1:], uint64(n))
		h.Write(b[:])
	}
	switch v := v.(type) {
	case string:
		tag('s', len(v))
		io.WriteString(h, v)
	case json.Number:
		tag('n', len(v))
		io.WriteString(h, v.String())
	case bool:
		if v {
			tag('b', 1)
		} else {
			tag('b', 0)
		}
	case []any:
		tag('l', len(v))
		for _, e := range v {
			hashValue(h, e)
		}
	case *template.Dict:
		tag('d', len(v.Keys))
		for _, k := range v.Keys {
			hashValue(h, k)
			hashValue(h, v.Values[k])
		}
	default:
		tag('0', 0)
	}
}

// contentTexts calls f with the texts of a canonical record: contents and
// fields, not names.
func contentTexts(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case json.Number:
		f(v.String())
	case []any:
		for _, e := range v {
			contentTexts(e, f)
		}
	case *template.Dict:
		for _, k := range v.Keys {
			if k != "role" && k != "id" {
				contentTexts(v.Values[k], f)
			}
		}
	}
}
