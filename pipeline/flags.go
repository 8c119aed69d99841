package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

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
