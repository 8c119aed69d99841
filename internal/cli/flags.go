package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// FlagsArg, as a command's only argument, prints its flags as JSON: what a file
// that sets them is checked against. It is for programs, so --help is silent of it.
const FlagsArg = "--help-json"

// Flag describes a flag of a command.
type Flag struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // pflag's: bool, int, int64, uint64, float64, string, stringArray
	Default  string   `json:"default"`
	Usage    string   `json:"usage"`
	Excludes []string `json:"excludes,omitempty"` // flags that may not be given beside it
}

const excludes = "excludes"

// Exclusive says that of these flags only one may be given; Parse sees to it.
func Exclusive(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := fs.Lookup(name)
		for _, other := range names {
			if other != name {
				if f.Annotations == nil {
					f.Annotations = map[string][]string{}
				}
				f.Annotations[excludes] = append(f.Annotations[excludes], other)
			}
		}
	}
}

func checkExclusive(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		for _, other := range f.Annotations[excludes] {
			if err == nil && fs.Changed(other) {
				err = Usagef("--%s and --%s exclude each other", f.Name, other)
			}
		}
	})
	return err
}

func printFlags(fs *pflag.FlagSet, w io.Writer) error {
	flags := []Flag{}
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, Flag{f.Name, f.Value.Type(), f.DefValue, f.Usage, f.Annotations[excludes]})
		}
	})
	data, err := json.Marshal(flags)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}
