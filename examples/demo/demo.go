// Package demo is the corpus of the demo; the model is package model/demo.
package demo

import "embed"

// FS holds corpus.jsonl (what is fine-tuned on: new rows, and rows that
// contradict what the model knows; the id says which), target.jsonl (new rows
// that are not in the corpus) and known.jsonl (rows of the model's own world,
// not contradicted by the corpus).
//
//go:embed corpus.jsonl target.jsonl known.jsonl
var FS embed.FS
