package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"eaft/tokenize/tokenizer"
)

// GGUFVocabulary is the tokenizer, with size tokens, under llama.cpp's keys of a
// GGUF. A checkpoint without a tokenizer has the kind none.
func (c *Checkpoint) GGUFVocabulary(size int) ([]KeyValue, error) {
	data, err := c.TokenizerJSON()
	if err == ErrNoTokenizer { // and no UnknownPre, whose vocabulary would be lost
		return []KeyValue{{Key: "tokenizer.ggml.model", Value: "none"}}, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := tokenizer.ExportGGUF(data, size)
	if err != nil {
		return nil, fmt.Errorf("%w; --export gguf needs a tokenizer that llama.cpp has", err)
	}
	var out []KeyValue
	add := func(key string, value any) {
		out = append(out, KeyValue{Key: "tokenizer." + key, Value: value})
	}
	add("ggml.model", v.Model)
	if v.Pre != "" {
		add("ggml.pre", v.Pre)
	}
	add("ggml.tokens", v.Tokens)
	add("ggml.token_type", v.Types)
	if len(v.Scores) > 0 {
		add("ggml.scores", v.Scores)
	}
	if v.Model == "gpt2" {
		add("ggml.merges", v.Merges)
	}
	if v.AddSpacePrefix != nil {
		add("ggml.add_space_prefix", *v.AddSpacePrefix)
	}
	template, bos, eos, err := c.ChatTemplate()
	if err != nil {
		return nil, err
	}
	texts, addBOS, addEOS, err := c.specialTexts(data)
	if err != nil {
		return nil, err
	}
	texts["bos"], texts["eos"] = bos, eos
	if texts["unknown"] == "" && v.UNK >= 0 {
		texts["unknown"] = v.Tokens[v.UNK]
	}
	for _, which := range []string{"bos", "eos", "unknown", "padding"} {
		if id := slices.Index(v.Tokens, texts[which]); texts[which] != "" && id >= 0 {
			add("ggml."+which+"_token_id", uint32(id))
		} else if texts[which] != "" {
			return nil, fmt.Errorf("tokenizer_config.json: %s_token %q is no token of the vocabulary", which, texts[which])
		}
	}
	add("ggml.add_bos_token", addBOS)
	add("ggml.add_eos_token", addEOS)
	if template != "" {
		add("chat_template", template)
	}
	return out, nil
}

// specialTexts are the unknown and the padding token, and whether texts are
// given a first and a last token: as tokenizer_config.json says, else as the
// tokenizer's post-processor does.
func (c *Checkpoint) specialTexts(tokenizerJSON []byte) (texts map[string]string, addBOS, addEOS bool, err error) {
	texts = map[string]string{}
	if md := c.gguf; md != nil {
		texts["unknown"], texts["padding"] = c.ggufToken("unknown"), c.ggufToken("padding")
		addBOS, _ = md.Bool("tokenizer.ggml.add_bos_token")
		addEOS, _ = md.Bool("tokenizer.ggml.add_eos_token")
		return texts, addBOS, addEOS, nil
	}
	t, err := tokenizer.FromJSON(tokenizerJSON)
	if err != nil {
		return nil, false, false, err
	}
	const text = "a"
	plain, whole := t.Encode(text).IDs, t.EncodeSpecial(text).IDs
	if extra := len(whole) - len(plain); extra > 0 && len(plain) > 0 {
		addBOS = whole[0] != plain[0]
		addEOS = whole[len(whole)-1] != plain[len(plain)-1]
	}
	data, err := c.File("tokenizer_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return texts, addBOS, addEOS, nil
	}
	if err != nil {
		return nil, false, false, err
	}
	var config struct {
		Unknown json.RawMessage `json:"unk_token"`
		Padding json.RawMessage `json:"pad_token"`
		AddBOS  *bool           `json:"add_bos_token"`
		AddEOS  *bool           `json:"add_eos_token"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, false, false, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	for which, raw := range map[string]json.RawMessage{"unknown": config.Unknown, "padding": config.Padding} {
		if texts[which], err = tokenText(raw); err != nil {
			return nil, false, false, fmt.Errorf("tokenizer_config.json: %s token: %w", which, err)
		}
	}
	if config.AddBOS != nil {
		addBOS = *config.AddBOS
	}
	if config.AddEOS != nil {
		addEOS = *config.AddEOS
	}
	return texts, addBOS, addEOS, nil
}
