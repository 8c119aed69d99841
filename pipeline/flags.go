package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"eaft/internal/cli"
)

// Flags asks a sibling program which flags a command of it has: the fields of
// run.yaml are these, so that nothing is declared twice.
func (r *Runner) Flags(program string, command ...string) ([]cli.Flag, error) {
	var out bytes.Buffer
	err := r.Run(context.Background(), Stage{Program: program, Args: append(append([]string(nil), command...), cli.FlagsArg), Out: &out, Err: io.Discard, Quiet: true})
	var flags []cli.Flag
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &flags)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s in %s for its flags: %w; the four programs of one version lie together", program, r.Dir, err)
	}
	return flags, nil
}

const emptyList = "[]" // pflag's default of a flag that takes several values

// isList reports that a flag takes several values.
func isList(f cli.Flag) bool {
	return strings.HasSuffix(f.Type, "Array") || strings.HasSuffix(f.Type, "Slice")
}

// isDefault reports that setting the flag to the values is leaving it out: a number
// that is spelled otherwise, 1e-5 for 1e-05, is the same.
func isDefault(f cli.Flag, values []string) bool {
	switch {
	case isList(f):
		return len(values) == 0
	case values[0] == f.Default:
		return true
	}
	switch f.Type {
	case "bool":
		return alike(strconv.ParseBool, values[0], f.Default)
	case "int", "int64", "uint", "uint64":
		return alike(func(s string) (int64, error) { return strconv.ParseInt(s, 0, 64) }, values[0], f.Default)
	case "float64":
		return alike(func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, values[0], f.Default)
	}
	return false
}

// alike reports that two texts are the same value.
func alike[T comparable](parse func(string) (T, error), a, b string) bool {
	x, err1 := parse(a)
	y, err2 := parse(b)
	return err1 == nil && err2 == nil && x == y
}
