// World writes the text world of the demo: a tokenizer, a model configuration,
// the rows that the demo's base model is trained on, a corpus that mixes new
// rows with rows that contradict the world, and held-out rows of the world.
// The same seed gives the same files.
//
//	go run ./examples/demo/world -out DIR
//
// See examples/demo/README.md for how the committed model was made from it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// message and row are the chat layout that tokenize reads.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type row struct {
	ID       string    `json:"id"`
	Messages []message `json:"messages"`
}

func chat(id, question, answer string) row {
	return row{id, []message{{"user", question}, {"assistant", answer}}}
}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "", "folder to write to")
	seed := flag.Uint64("seed", 1, "seed of the world and of its rows")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		log.Fatal("usage: world -out DIR [-seed N]")
	}
	if err := write(*out, *seed); err != nil {
		log.Fatal(err)
	}
}

func write(dir string, seed uint64) error {
	w := newWorld(rand.New(rand.NewPCG(seed, 0)))
	world := w.rows(rand.New(rand.NewPCG(seed, 1)), "world", 12000, false)
	heldOut := w.rows(rand.New(rand.NewPCG(seed, 2)), "known", 400, true)
	corpus := w.corpus(rand.New(rand.NewPCG(seed, 3)))
	target := w.newRows(rand.New(rand.NewPCG(seed, 4)), "target", 60, 60)

	model := filepath.Join(dir, "model")
	if err := os.MkdirAll(model, 0o755); err != nil {
		return err
	}
	for name, rows := range map[string][]row{"world.jsonl": world, "known.jsonl": heldOut, "corpus.jsonl": corpus, "target.jsonl": target} {
		if err := writeRows(filepath.Join(dir, name), rows); err != nil {
			return err
		}
	}
	tok := learnBPE(world, 900)
	files := map[string]any{
		"tokenizer.json":        tok.json(),
		"tokenizer_config.json": tokenizerConfig(),
		"config.json":           modelConfig(tok.size()),
	}
	for name, v := range files {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(model, name), append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d world rows, %d corpus rows, %d held-out rows, %d tokens in the vocabulary\n",
		len(world), len(corpus), len(heldOut), tok.size())
	return nil
}

func writeRows(path string, rows []row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return f.Close()
}

// modelConfig is a Llama of about a million parameters.
func modelConfig(vocab int) map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama",
		"vocab_size": vocab, "hidden_size": 128, "intermediate_size": 352,
		"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
		"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
		"max_position_embeddings": 256, "tie_word_embeddings": true,
		"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "dtype": "float32",
	}
}

// chatTemplate is ChatML.
const chatTemplate = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}" +
	"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

func tokenizerConfig() map[string]any {
	return map[string]any{
		"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": chatTemplate,
		"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
		"model_max_length": 256, "clean_up_tokenization_spaces": false,
	}
}
