package tokenize

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"eaft/internal/jsontext"
)

// eachCSV calls f with every record of a CSV file as a JSON object of texts. The
// first line names the columns.
func eachCSV(r io.Reader, f func(raw []byte) error) error {
	bounded := &boundedReader{r: r}
	c := csv.NewReader(bounded)
	c.ReuseRecord = true
	header, err := c.Read()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if name := header[0]; len(header) == 1 && strings.ContainsAny(name, ";\t") {
		return fmt.Errorf("header: %q is one field, for fields are separated by commas here; make JSON Lines or such a CSV of the file", name)
	}
	keys := make([][]byte, len(header))
	seen := map[string]bool{}
	for i, name := range header {
		if i == 0 && len(name) >= 3 && name[:3] == "\xEF\xBB\xBF" {
			name = name[3:]
		}
		if seen[name] || !utf8.ValidString(name) {
			return fmt.Errorf("header: column %d, %q, stands twice or is no UTF-8", i+1, name)
		}
		seen[name] = true
		if keys[i], err = json.Marshal(name); err != nil {
			return err
		}
	}
	var raw []byte
	for n := int64(0); ; n++ {
		bounded.read = 0
		fields, err := c.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", n, csvHint(err))
		}
		raw = append(raw[:0], '{')
		for i, field := range fields {
			if i > 0 {
				raw = append(raw, ',')
			}
			raw = append(append(raw, keys[i]...), ':')
			raw = jsontext.Append(raw, field)
		}
		if err := f(append(raw, '}')); err != nil {
			return err
		}
	}
}

func csvHint(err error) error {
	if errors.Is(err, csv.ErrFieldCount) {
		return fmt.Errorf("%w: every record needs as many fields as the header; quote fields that hold commas or line breaks", err)
	}
	return err
}

// boundedReader ends a record that never ends: a quote that is not closed makes
// the rest of the file one field.
type boundedReader struct {
	r    io.Reader
	read int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.read > maxRecord {
		return 0, fmt.Errorf("over %d MiB long: a quote is not closed", maxRecord>>20)
	}
	n, err := b.r.Read(p)
	b.read += n
	return n, err
}
