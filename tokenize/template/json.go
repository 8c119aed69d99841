package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Dict is a JSON object in the order it was written; of a key that repeats the
// last value counts, at the place of the first, as in Python.
type Dict struct {
	Keys   []string
	Values map[string]any
}

// Get is the value of key.
func (d *Dict) Get(key string) (any, bool) {
	v, ok := d.Values[key]
	return v, ok
}

// Set changes key or adds it at the end.
func (d *Dict) Set(key string, v any) {
	if _, ok := d.Values[key]; !ok {
		d.Keys = append(d.Keys, key)
	}
	d.Values[key] = v
}

// NewDict is an empty dict.
func NewDict() *Dict { return &Dict{Values: map[string]any{}} }

// maxJSONDepth bounds how deep values nest, for rows are untrusted.
const maxJSONDepth = 200

// DecodeJSON reads exactly one JSON value: nil, bool, json.Number, string,
// []any or *Dict.
func DecodeJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("malformed JSON at byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("malformed JSON at byte %d: more than one value", dec.InputOffset())
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth == maxJSONDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	d := NewDict()
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		d.Set(strings.Clone(key.(string)), v)
	}
	_, err = dec.Token()
	return d, err
}
