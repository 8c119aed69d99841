package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"eaft/model/weights"
)

// sideFiles of a folder are copied as they are where they exist: besides the
// tokenizer, what its class reads and how to generate.
var sideFiles = []string{
	"generation_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "tokenizer.model",
}

// saveTokenizer writes tokenizer.json, tokenizer_config.json and the chat
// templates. A checkpoint without a tokenizer, or a GGUF with one that cuts texts in
// an unknown way, leaves a folder without one.
func saveTokenizer(dir string, from *weights.Checkpoint) error {
	for _, name := range sideFiles {
		data, err := from.File(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = writeFile(dir, name, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", from.Ref(), name, err)
		}
	}
	tokenizer, err := from.TokenizerJSON()
	if errors.Is(err, weights.ErrNoTokenizer) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := writeFile(dir, "tokenizer.json", tokenizer); err != nil {
		return err
	}
	template, bos, eos, err := from.ChatTemplate()
	if err != nil {
		return err
	}
	config, named, err := tokenizerConfig(from, template, bos, eos)
	if err != nil {
		return err
	}
	if err := writeFile(dir, "tokenizer_config.json", config); err != nil {
		return err
	}
	if err := saveTemplates(dir, from); err != nil {
		return err
	}
	if _, err := from.File("chat_template.jinja"); template == "" || named && errors.Is(err, fs.ErrNotExist) {
		return nil // where the file is, transformers reads no list
	}
	return writeFile(dir, "chat_template.jinja", []byte(template))
}

// saveTemplates copies the chat templates that have a name, such as tool_use.
func saveTemplates(dir string, from *weights.Checkpoint) error {
	const folder = "additional_chat_templates"
	names, err := from.Files(folder)
	names = slices.DeleteFunc(names, func(name string) bool { return path.Ext(name) != ".jinja" })
	if err != nil || len(names) == 0 {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o777); err != nil {
		return err
	}
	for _, name := range names {
		data, err := from.File(path.Join(folder, name))
		if err == nil {
			err = writeFile(filepath.Join(dir, folder), name, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %s/%s: %w", from.Ref(), folder, name, err)
		}
	}
	return nil
}

// tokenizerConfig is the folder's own tokenizer_config.json, or a new one for
// transformers' general class, with the chat template inside either. named says
// whether it has a list of templates with names.
func tokenizerConfig(from *weights.Checkpoint, template, bos, eos string) (config []byte, named bool, err error) {
	fields := map[string]any{}
	data, err := from.File("tokenizer_config.json")
	switch {
	case err == nil:
		kept := map[string]json.RawMessage{}
		if err := json.Unmarshal(data, &kept); err != nil {
			return nil, false, fmt.Errorf("%s: tokenizer_config.json: %w", from.Ref(), err)
		}
		named = bytes.HasPrefix(kept["chat_template"], []byte("["))
		for k, v := range kept {
			fields[k] = v
		}
	case errors.Is(err, fs.ErrNotExist):
		fields["tokenizer_class"] = "PreTrainedTokenizerFast"
		fields["clean_up_tokenization_spaces"] = false
		set(fields, "bos_token", bos)
		set(fields, "eos_token", eos)
		set(fields, "pad_token", ggufToken(from, "padding"))
		set(fields, "unk_token", ggufToken(from, "unknown"))
	default:
		return nil, false, err
	}
	if _, own := fields["chat_template"]; !own {
		set(fields, "chat_template", template)
	}
	config, err = marshal(fields)
	return config, named, err
}

func set(fields map[string]any, key, value string) {
	if value != "" {
		fields[key] = value
	}
}

// ggufToken is the text of a GGUF's special token, "" if it has none.
func ggufToken(c *weights.Checkpoint, which string) string {
	if c.GGUF() == nil {
		return ""
	}
	id, ok := c.GGUF().Uint("tokenizer.ggml." + which + "_token_id")
	tokens, has := c.GGUF().Strings("tokenizer.ggml.tokens")
	if !ok || !has || id >= uint64(len(tokens)) {
		return ""
	}
	return tokens[id]
}
