// Scorer measures what a model thinks of every token of a dataset.
package main

import (
	"context"
	"fmt"
	"os"

	"eaft/internal/cli"
)

const usage = `Usage: scorer score --model M --tokens DIR --out DIR    scores a tokens dataset
       scorer inspect SCORES                            reports on the scores
       scorer bench [--model M]                         what the engine reaches here

Every command has its own --help.

  scorer score --model M.gguf --tokens tok --out scores
  scorer inspect scores
`

func main() { os.Exit(cli.Main("scorer", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	if len(args) == 0 {
		return cli.Usagef("say what to do: score, inspect or bench; see scorer --help")
	}
	switch args[0] {
	case "score":
		return runScore(ctx, args[1:], std)
	case "inspect":
		return runInspect(ctx, args[1:], std)
	case "bench":
		return runBench(ctx, args[1:], std)
	case "--help", "-h", "help":
		_, err := fmt.Fprint(std.Out, usage)
		return err
	}
	return cli.Usagef("%q is not score, inspect or bench; see scorer --help", args[0])
}
