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
	Type    string `json:"type"` // pflag's: bool, int, int64, uint64, float64, string, stringArray
	Default string `json:"default"`
	Usage   string `json:"usage"`
}

func printFlags(fs *pflag.FlagSet, w io.Writer) error {
	flags := []Flag{}
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, Flag{f.Name, f.Value.Type(), f.DefValue, f.Usage})
		}
	})
	data, err := json.Marshal(flags)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}
