// Command tokenizer measures package tokenize/tokenizer against Hugging Face's
// tokenizers: ids and offsets of documents of 4 kB, one thread, and the time to load
// tokenizer.json. It prints a line of Markdown per file.
//
//	go run ./bench/tokenizer --python venv/bin/python --text corpus.txt A/tokenizer.json B/tokenizer.json
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"eaft/internal/machine"
	"eaft/tokenize/tokenizer"
)

const (
	document = 4096 // bytes
	passes   = 7    // of which the fastest counts
)

func main() {
	python := pflag.String("python", "python3", "a Python with tokenizers")
	corpus := pflag.String("text", "", "a text, cut into documents of 4 kB")
	rival := pflag.String("rival", "bench/tokenizer/rival.py", "the script that measures tokenizers")
	pflag.Parse()
	if err := run(*python, *rival, *corpus, pflag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "tokenizer:", err)
		os.Exit(1)
	}
}

// times are seconds; Load of one tokenizer.json, Encode of all documents.
type times struct {
	Load    float64 `json:"load"`
	Encode  float64 `json:"encode"`
	Tokens  int     `json:"tokens"`
	Version string  `json:"version"`
}

func run(python, rival, corpus string, files []string) error {
	text, err := os.ReadFile(corpus)
	if err != nil {
		return err
	}
	docs := cut(string(text))
	runtime.GOMAXPROCS(1)
	fmt.Printf("%s, %d documents, %.1f MB\n\n", machine.CPU(), len(docs), float64(len(text))/1e6)
	fmt.Println("| tokenizer | tokens | ours, MB/s | tokenizers, MB/s | ratio | ours loads, ms | tokenizers, ms | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, file := range files {
		ours, err := measure(file, docs)
		if err != nil {
			return err
		}
		cmd := exec.Command(python, rival, file, corpus)
		cmd.Env, cmd.Stderr = append(os.Environ(), "TOKENIZERS_PARALLELISM=false", "RAYON_NUM_THREADS=1"), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		var theirs times
		if err := json.Unmarshal(out, &theirs); err != nil {
			return err
		}
		if ours.Tokens != theirs.Tokens {
			return fmt.Errorf("%s: %d tokens, tokenizers makes %d", file, ours.Tokens, theirs.Tokens)
		}
		mb := float64(len(text)) / 1e6
		name := filepath.Base(filepath.Dir(file))
		fmt.Printf("| %s | %d | %.1f | %.2f | %.1fx | %.0f | %.0f | %.2fx |\n", name, ours.Tokens, mb/ours.Encode, mb/theirs.Encode,
			theirs.Encode/ours.Encode, 1e3*ours.Load, 1e3*theirs.Load, ours.Load/theirs.Load)
	}
	return nil
}

// cut cuts text into documents at characters' ends.
func cut(s string) (docs []string) {
	for len(s) > document {
		n := document
		for !utf8.RuneStart(s[n]) {
			n--
		}
		docs, s = append(docs, s[:n]), s[n:]
	}
	return append(docs, s)
}

func measure(file string, docs []string) (best times, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return best, err
	}
	for range passes {
		begin := time.Now()
		tok, err := tokenizer.FromJSON(data)
		if err != nil {
			return best, err
		}
		load := time.Since(begin).Seconds()
		runtime.GC()
		begin = time.Now()
		tokens := 0
		for _, s := range docs {
			tokens += len(tok.Encode(s).IDs)
		}
		encode := time.Since(begin).Seconds()
		if best.Tokens == 0 || load < best.Load {
			best.Load = load
		}
		if best.Tokens == 0 || encode < best.Encode {
			best.Encode = encode
		}
		best.Tokens = tokens
	}
	return best, nil
}
