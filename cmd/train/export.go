package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/model"
	"eaft/model/weights"
	"eaft/train"
)

const exportUsage = `Usage: train export --model M [--adapter DIR] --out FILE.gguf|FOLDER [--export-type f32]

Writes a model, with a LoRA adapter merged into it if one is given, as a GGUF that
llama.cpp loads or as a Hugging Face folder: weights, tokenizer, special tokens and
chat template.

  train export --model run/model --out model.gguf --export-type bf16
  train export --model M --adapter run/adapter --out merged`

func runExport(ctx context.Context, args []string, std cli.IO) error {
	fs := pflag.NewFlagSet("train export", pflag.ContinueOnError)
	ref := fs.String("model", "", "model: "+cli.Models)
	adapter := fs.String("adapter", "", "PEFT adapter folder to merge into the model")
	out := fs.String("out", "", "what to write: a file whose name ends in .gguf, or a folder")
	typ := fs.String("export-type", "f32", "matrices of what is written: f32, bf16 or f16")
	if err := cli.Parse(fs, args, std, exportUsage); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return cli.Usagef("argument %q is not expected; see train export --help", fs.Arg(0))
	case *out == "":
		return cli.Usagef("--out is missing: the .gguf file or the folder to write")
	}
	if err := train.CheckExportType(*typ); err != nil {
		return err
	}
	if err := checkOut(*ref, *out); err != nil {
		return err
	}
	return export(ctx, *ref, *adapter, *out, *typ, std)
}

func isGGUF(name string) bool { return strings.HasSuffix(strings.ToLower(store.Base(name)), ".gguf") }

// notFolders end the names of files that models come in and that are not written.
var notFolders = []string{".bin", ".safetensors", ".pt", ".pth", ".onnx"}

// checkOut refuses a place that holds a model, or that was meant for another format.
func checkOut(ref, out string) error {
	if isGGUF(out) {
		if store.Same(ref, out) {
			return cli.Usagef("--out %s is the --model itself: choose another name", out)
		}
		st, err := store.Stat(out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return cli.Usagef("--out: %w", err)
		case !st.Regular:
			return cli.Usagef("--out %s is a folder: name a file, or a folder whose name does not end in .gguf", out)
		}
		return cli.Usagef("--out %s is there already: choose another name, or remove it", out)
	}
	if ext := strings.ToLower(filepath.Ext(store.Base(out))); slices.Contains(notFolders, ext) {
		return cli.Usagef("--out %s: a GGUF's name ends in .gguf, and a Hugging Face model is a folder: leave %s out", out, ext)
	}
	if st, err := store.Stat(out); err == nil && st.Regular {
		return cli.Usagef("--out %s is a file: name a folder, or a file whose name ends in .gguf", out)
	}
	for _, name := range []string{"config.json", weights.AdapterConfig} {
		if _, err := store.Stat(store.Join(out, name)); err == nil {
			return cli.Usagef("--out %s holds a model already (%s): choose another folder, or remove it", out, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// export writes the model ref, with an adapter unless that is "", as a GGUF or a
// folder. A GGUF that is there is replaced.
func export(ctx context.Context, ref, adapter, out, typ string, std cli.IO) error {
	c, err := open(ctx, ref, std)
	if err != nil {
		return err
	}
	defer c.Close()
	var a *weights.Checkpoint
	if adapter != "" {
		if a, err = weights.OpenAdapter(adapter); err != nil {
			return cli.Usagef("--adapter: %w", err)
		}
		defer a.Close()
	}
	path := store.Local(out)
	if store.IsURL(out) {
		dir, err := os.MkdirTemp("", "eaft-export-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, store.Base(out))
	}
	write := model.ExportFolder
	if isGGUF(out) {
		write = model.ExportGGUF
		if err := store.MkdirAll(filepath.Dir(path)); err != nil {
			return cli.Usagef("--out: %w", err)
		}
	}
	if _, err := c.TokenizerJSON(); errors.As(err, &weights.UnknownPre{}) {
		fmt.Fprintf(std.Err, "warning: %v; %s is written without a tokenizer\n", err, out)
	}
	lost, err := write(ctx, path, c, a, strings.ToUpper(typ))
	if errors.Is(err, context.Canceled) {
		return err
	}
	if err != nil {
		return &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	if store.IsURL(out) {
		if err := send(out, path); err != nil {
			return err
		}
	}
	if a != nil {
		fmt.Fprintln(std.Err, train.MergeCost(out, typ, lost, adapter))
	}
	fmt.Fprintf(std.Err, "%s is written\n", out)
	return nil
}

// send uploads a file, or the files of a folder, config.json last.
func send(out, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil { // a file
		return store.Upload(out, path)
	}
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
		switch {
		case a.Name() == "config.json":
			return 1
		case b.Name() == "config.json":
			return -1
		}
		return 0
	})
	for _, e := range entries {
		if err := store.Upload(store.Join(out, e.Name()), filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
