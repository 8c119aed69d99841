package parquet

import (
	"fmt"
	"slices"
)

// onlyColumns refuses columns that are none of names in a file that says it is
// ours: what they hold would be ignored without a word.
func (r *reader) onlyColumns(names ...string) {
	if r.own.Schema == "" {
		return
	}
	for _, c := range r.pq.Root().Columns() {
		if r.err == nil && !slices.Contains(names, c.Name()) {
			r.err = fmt.Errorf("%s: column %s is not one of %s, the schema that the metadata eaft.schema names (eaft.version is %q); read the file with the version of eaft that wrote it, or write it again without the column or without that metadata",
				r.path, c.Name(), r.own.Schema, r.own.Version)
		}
	}
}
