// Package demo is a small decoder embedded in the binaries, opened as the model
// "demo". examples/demo tells what it knows and how it was made.
package demo

import "embed"

// FS is a Hugging Face folder.
//
//go:embed config.json model.safetensors tokenizer.json tokenizer_config.json chat_template.jinja
var FS embed.FS
