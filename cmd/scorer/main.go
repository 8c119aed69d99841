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
       scorer diff A B                                  compares two annotations of the same tokens
       scorer export SCORES --format arrow              writes targets as a table to stdout
       scorer filter SCORES --where W --out DIR         writes the tokens without what W chooses
       scorer merge PART... --out DIR --tokens-out DIR  puts the annotations of parts together
       scorer verify SCORES                             checks hashes, counts, ranges and rows
       scorer bench [--model M]                         what the engine reaches here

Every command has its own --help.

  scorer score --model M.gguf --tokens tok --out scores
  scorer inspect scores
`

func main() { os.Exit(cli.Main("scorer", run)) }

func run(ctx context.Context, args []string, std cli.IO) error {
	if len(args) == 0 {
		return cli.Usagef("say what to do: %s; see scorer --help", names)
	}
	switch args[0] {
	case "score":
		return runScore(ctx, args[1:], std)
	case "inspect":
		return cli.StartsOver(runInspect(ctx, args[1:], std))
	case "diff":
		return cli.StartsOver(runDiff(ctx, args[1:], std))
	case "export":
		return cli.StartsOver(runExport(ctx, args[1:], std))
	case "filter":
		return cli.StartsOver(runFilter(ctx, args[1:], std))
	case "merge":
		return cli.StartsOver(runMerge(ctx, args[1:], std))
	case "verify":
		return cli.StartsOver(runVerify(ctx, args[1:], std))
	case "bench":
		return cli.StartsOver(runBench(ctx, args[1:], std))
	case "--help", "-h", "help":
		_, err := fmt.Fprint(std.Out, usage)
		return err
	}
	return cli.Usagef("%q is not one of %s; see scorer --help", args[0], names)
}

const names = "score, inspect, diff, export, filter, merge, verify and bench"
