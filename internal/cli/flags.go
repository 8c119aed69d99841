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
	Name    string `json:"name"`
	Type    string `json:"type"`    // pflag's: bool, int, int64, uint64, float64, string, stringArray
	Default string `json:"default"` // "" also where none of the values is what leaving it out is
	Usage   string `json:"usage"`
}

const noDefault = "eaft-no-default"

// NoDefault says of a flag that leaving it out is something else than setting it to
// any value, its zero too: no --shuffle, and --shuffle 0.
func NoDefault(fs *pflag.FlagSet, name string) {
	fs.SetAnnotation(name, noDefault, nil) // fails for a name that is no flag's
}

func printFlags(fs *pflag.FlagSet, w io.Writer) error {
	flags := []Flag{}
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			about := Flag{f.Name, f.Value.Type(), f.DefValue, f.Usage}
			if _, ok := f.Annotations[noDefault]; ok {
				about.Default = ""
			}
			flags = append(flags, about)
		}
	})
	data, err := json.Marshal(flags)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}
