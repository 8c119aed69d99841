package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model"
)

const exportUsage = `Usage: train export --model M --out FILE.gguf [--export-type f32]

Writes a model as a GGUF that llama.cpp loads: weights, tokenizer, special tokens
and chat template.

  train export --model run/model --out model.gguf --export-type bf16`

func runExport(_ context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("train export", pflag.ContinueOnError)
	ref := fs.String("model", "", "model: a Hugging Face folder, a .gguf file, or demo")
	out := fs.String("out", "", "file to write")
	typ := fs.String("export-type", "f32", exportTypeHelp)
	if err := cli.Parse(fs, args, std, exportUsage); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return cli.Usagef("argument %q is not expected; see train export --help", fs.Arg(0))
	case *out == "":
		return cli.Usagef("--out is missing: the .gguf file to write")
	case !strings.HasSuffix(strings.ToLower(store.Base(*out)), ".gguf"):
		return cli.Usagef("--out %s: the name of a GGUF ends in .gguf", *out)
	}
	if err := checkExportType(*typ); err != nil {
		return err
	}
	return export(*ref, *out, *typ, std)
}

const exportTypeHelp = "matrices of the GGUF: f32, bf16 or f16"

func checkExportType(typ string) error {
	switch typ {
	case "f32", "bf16", "f16":
		return nil
	}
	return cli.Usagef("--export-type %q is not known: use f32, bf16 or f16", typ)
}

// export writes the model ref as a GGUF.
func export(ref, out, typ string, std cli.IO) error {
	c, err := open(ref)
	if err != nil {
		return err
	}
	defer c.Close()
	path := out
	if store.IsURL(out) {
		dir, err := os.MkdirTemp("", "eaft-export-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "model.gguf")
	}
	if err := model.ExportGGUF(path, c, strings.ToUpper(typ)); err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if path != out {
		if err := store.Upload(out, path); err != nil {
			return err
		}
	}
	fmt.Fprintf(std.Err, "%s is written\n", out)
	return nil
}
