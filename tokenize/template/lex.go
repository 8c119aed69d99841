package template

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokKind int

const (
	tokEnd tokKind = iota
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
)

type token struct {
	kind tokKind
	s    string
}

var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";"}

func lex(src string) ([]token, error) {
	var out []token
next:
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRuneInString(src[i:])
		switch {
		case unicode.IsSpace(r):
			i += n
		case r == '_' || unicode.IsLetter(r):
			j := i
			for j < len(src) {
				r, n := utf8.DecodeRuneInString(src[j:])
				if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
					break
				}
				j += n
			}
			out = append(out, token{tokName, src[i:j]})
			i = j
		case r >= '0' && r <= '9':
			tok, end, err := lexNumber(src, i)
			if err != nil {
				return nil, err
			}
			out = append(out, tok)
			i = end
		case r == '\'' || r == '"':
			j := i + 1
			for j < len(src) && src[j] != byte(r) {
				if src[j] == '\\' {
					j++
				}
				j++
			}
			if j >= len(src) {
				return nil, fmt.Errorf("string is not closed")
			}
			s, err := unescape(src[i+1 : j])
			if err != nil {
				return nil, err
			}
			out = append(out, token{tokString, s})
			i = j + 1
		default:
			for _, op := range operators {
				if strings.HasPrefix(src[i:], op) {
					out = append(out, token{tokOp, op})
					i += len(op)
					continue next
				}
			}
			return nil, fmt.Errorf("unexpected character %q", r)
		}
	}
	return out, nil
}

func lexNumber(src string, i int) (token, int, error) {
	digits := func(j int) int {
		for j < len(src) && (src[j] >= '0' && src[j] <= '9' || src[j] == '_' && j+1 < len(src) && src[j+1] >= '0' && src[j+1] <= '9') {
			j++
		}
		return j
	}
	j := digits(i)
	kind := tokInt
	member := i > 0 && src[i-1] == '.' // a.0.1 has two members, no float
	if !member && j+1 < len(src) && src[j] == '.' && src[j+1] >= '0' && src[j+1] <= '9' {
		kind, j = tokFloat, digits(j+1)
	}
	if j < len(src) && (src[j] == 'e' || src[j] == 'E') {
		k := j + 1
		if k < len(src) && (src[k] == '+' || src[k] == '-') {
			k++
		}
		if e := digits(k); e > k {
			kind, j = tokFloat, e
		}
	}
	s := strings.ReplaceAll(src[i:j], "_", "")
	if kind == tokInt && len(s) > maxDigits {
		return token{}, 0, fmt.Errorf("an integer has over %d digits", maxDigits)
	}
	return token{kind, s}, j, nil
}

// unescape reads Python's escapes; an unknown one stays as it is.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	simple := map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': ""}
	hex := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if v, ok := simple[c]; ok {
			b.WriteString(v)
		} else if n := hex[c]; n > 0 {
			if i+n >= len(s) {
				return "", fmt.Errorf("escape \\%c is cut short", c)
			}
			v, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || v > unicode.MaxRune || v >= 0xd800 && v < 0xe000 {
				return "", fmt.Errorf("escape \\%s is no character", s[i:i+1+n])
			}
			b.WriteRune(rune(v))
			i += n
		} else if c >= '0' && c <= '7' {
			j := i
			for j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7' {
				j++
			}
			v, _ := strconv.ParseUint(s[i:j], 8, 32)
			b.WriteRune(rune(v))
			i = j - 1
		} else {
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}
