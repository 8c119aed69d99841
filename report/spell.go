package report

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
	"eaft/tokenize/tokenizer"
)

// vocabulary spells token ids; without a tokenizer it prints them as <id>.
type vocabulary struct {
	t      *tokenizer.Tokenizer
	tokens []token // by id
}

// info describes a token; the zero token where nothing is known of it.
func (v *vocabulary) info(id int32) *token {
	if id < 0 || int(id) >= len(v.tokens) {
		return &token{}
	}
	return &v.tokens[id]
}

// vocabulary is the tokenizer beside the scores, else beside their tokens.
func (p *pass) vocabulary() (*vocabulary, error) { return openVocabulary(p.scores, p.tokens) }

// openVocabulary takes the first _tokenizer.json beside one of the datasets that there
// are, and refuses another one than that whose hash the dataset's manifest has.
func openVocabulary(datasets ...*parquet.Dataset) (*vocabulary, error) {
	for _, d := range datasets {
		if d == nil {
			continue
		}
		path := store.Join(d.Dir, parquet.TokenizerName)
		data, err := store.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t, err := tokenizer.FromJSON(data)
		if err != nil {
			return nil, cli.Usagef("%s: %w; copy the one that made the ids there, or remove it, and tokens are shown as ids", path, err)
		}
		if d.Manifest != nil {
			if want, have := d.Manifest.Hashes["tokenizer"], t.Fingerprint(); want != "" && have != want {
				return nil, cli.Usagef("%s: it has the hash %s where hashes.tokenizer in %s is %s; copy the one that made the ids there, or remove it, and tokens are shown as ids", path, have, parquet.ManifestName, want)
			}
		}
		v := &vocabulary{t, make([]token, t.VocabSize())}
		for id := range v.tokens {
			v.tokens[id] = describeToken(t.TokenBytes(int32(id)), t.IsSpecial(int32(id)))
		}
		return v, nil
	}
	return &vocabulary{}, nil
}

func (v *vocabulary) bytes(id int32) []byte {
	if v.t != nil {
		if b := v.t.TokenBytes(id); b != nil {
			return b
		}
	}
	return []byte("<" + strconv.Itoa(int(id)) + ">")
}

// token is one token on its own, its spaces visible.
func (v *vocabulary) token(id int32) string {
	return strings.ReplaceAll(Visible(v.bytes(id)), " ", "·")
}

// text is a run of tokens; characters split over tokens become whole.
func (v *vocabulary) text(ids []int32) string {
	var b []byte
	for _, id := range ids {
		if v.t == nil && len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, v.bytes(id)...)
	}
	return Visible(b)
}

// Visible makes b safe and readable on a terminal: a newline becomes ⏎, a tab
// ⇥, bytes that are no UTF-8 \xNN, and characters that control, hide or turn
// what stands around them (escapes, zero width, bidirectional) \x1b or \u202e.
func Visible(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&s, `\x%02x`, b[0])
		case r == '\n':
			s.WriteRune('⏎')
		case r == '\t':
			s.WriteRune('⇥')
		case r == ' ' || unicode.IsPrint(r):
			s.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&s, `\x%02x`, r)
		default:
			fmt.Fprintf(&s, `\u%04x`, r)
		}
		b = b[n:]
	}
	return s.String()
}
