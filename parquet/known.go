package parquet

import (
	"fmt"
	"slices"

	pq "github.com/parquet-go/parquet-go"
)

// only refuses columns that are none of names in a file that is ours: what
// they hold would be ignored without a word. prefix is the path that they lie under.
func (r *reader) only(columns []*pq.Column, prefix string, names ...string) {
	if r.own.Schema == "" {
		return
	}
	for _, c := range columns {
		if r.err == nil && !slices.Contains(names, c.Name()) {
			r.err = fmt.Errorf("%s: column %s%s is not one of %s, the schema that the metadata eaft.schema names (eaft.version is %q); read the file with the version of eaft that wrote it, or write it again without the column",
				r.path, prefix, c.Name(), r.own.Schema, r.own.Version)
		}
	}
}
