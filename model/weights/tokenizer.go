package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"eaft/internal/store"
	"eaft/tokenize/tokenizer"
)

// UnknownPre is the ErrNoTokenizer of a GGUF that has a vocabulary, but cuts texts by
// a tokenizer.ggml.pre that is not known. What its ids stand for VocabularyJSON says.
type UnknownPre struct{ error }

// Is makes it an ErrNoTokenizer.
func (UnknownPre) Is(target error) bool { return target == ErrNoTokenizer }

// TokenizerJSON is the model's tokenizer.json, or one made from the vocabulary
// of a GGUF. It is ErrNoTokenizer where there is none, which an UnknownPre is, too.
func (c *Checkpoint) TokenizerJSON() ([]byte, error) {
	if c.gguf == nil {
		data, err := c.File("tokenizer.json")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoTokenizer
		}
		return data, err
	}
	v, err := c.ggufVocab()
	if err != nil {
		return nil, err
	}
	data, err := tokenizer.ConvertGGUF(v)
	if err == nil {
		return data, nil
	}
	err = fmt.Errorf("%s: %w", c.ref, err)
	if _, other := convertWithKnownPre(v); other == nil {
		return nil, UnknownPre{err}
	}
	return nil, err
}

// VocabularyJSON is a tokenizer.json by which the model's ids can be read: that of
// TokenizerJSON, which whole says, or of an UnknownPre one that cuts texts in a way
// that is not the model's.
func (c *Checkpoint) VocabularyJSON() (data []byte, whole bool, err error) {
	data, err = c.TokenizerJSON()
	if !errors.As(err, &UnknownPre{}) {
		return data, true, err
	}
	v, err := c.ggufVocab()
	if err != nil {
		return nil, false, err
	}
	data, err = convertWithKnownPre(v)
	return data, false, err
}

// convertWithKnownPre converts a vocabulary of the kind gpt2, the one that has a
// pre, as if GPT-2's were its own.
func convertWithKnownPre(v tokenizer.GGUFVocab) ([]byte, error) {
	v.Pre = "gpt-2"
	return tokenizer.ConvertGGUF(v)
}

// ggufVocab is the vocabulary in a GGUF's metadata.
func (c *Checkpoint) ggufVocab() (tokenizer.GGUFVocab, error) {
	v := tokenizer.GGUFVocab{BOS: -1, EOS: -1, PAD: -1, UNK: -1, SEP: -1}
	var ok bool
	if v.Tokens, ok = c.gguf.Strings("tokenizer.ggml.tokens"); !ok {
		return v, ErrNoTokenizer
	}
	v.Model, _ = c.gguf.String("tokenizer.ggml.model")
	v.Pre, _ = c.gguf.String("tokenizer.ggml.pre")
	v.Types, _ = c.gguf.Int32s("tokenizer.ggml.token_type")
	v.Merges, _ = c.gguf.Strings("tokenizer.ggml.merges")
	v.Scores, _ = c.gguf.Float32s("tokenizer.ggml.scores")
	v.Name, _ = c.gguf.String("general.name")
	v.CharsMap, _ = c.gguf.Bytes("tokenizer.ggml.precompiled_charsmap")
	for key, flag := range map[string]**bool{
		"add_bos_token": &v.AddBOS, "add_eos_token": &v.AddEOS, "add_space_prefix": &v.AddSpacePrefix, "remove_extra_whitespaces": &v.RemoveExtraSpaces,
		"normalizer.lowercase": &v.Lowercase, "normalizer.strip_accents": &v.StripAccents,
	} {
		if b, ok := c.gguf.Bool("tokenizer.ggml." + key); ok {
			*flag = &b
		}
	}
	for key, id := range map[string]*int32{"bos": &v.BOS, "eos": &v.EOS, "padding": &v.PAD, "unknown": &v.UNK, "seperator": &v.SEP} {
		if n, ok := c.gguf.Uint("tokenizer.ggml." + key + "_token_id"); ok {
			if n >= uint64(len(v.Tokens)) {
				return v, fmt.Errorf("%s: tokenizer.ggml.%s_token_id is %d, the vocabulary has %d tokens", c.ref, key, n, len(v.Tokens))
			}
			*id = int32(n)
		}
	}
	return v, nil
}

// ChatTemplate is the model's template (Jinja) and the texts of its special
// tokens; "" for what it does not have. chat_template.jinja comes before
// tokenizer_config.json, where a list of templates means its "default".
func (c *Checkpoint) ChatTemplate() (src, bosToken, eosToken string, err error) {
	if c.gguf != nil {
		src, _ = c.gguf.String("tokenizer.chat_template")
		return src, c.ggufToken("bos"), c.ggufToken("eos"), nil
	}
	data, err := c.File("tokenizer_config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", "", err
	}
	var config struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
		BOS          json.RawMessage `json:"bos_token"`
		EOS          json.RawMessage `json:"eos_token"`
	}
	where := store.Join(c.ref, "tokenizer_config.json")
	if err == nil {
		if err := json.Unmarshal(data, &config); err != nil {
			return "", "", "", fmt.Errorf("%s: %w", where, err)
		}
	}
	if bosToken, err = tokenText(config.BOS); err != nil {
		return "", "", "", fmt.Errorf("%s: bos_token: %w", where, err)
	}
	if eosToken, err = tokenText(config.EOS); err != nil {
		return "", "", "", fmt.Errorf("%s: eos_token: %w", where, err)
	}
	jinja, err := c.File("chat_template.jinja")
	if err == nil {
		return string(jinja), bosToken, eosToken, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", "", err
	}
	if len(config.ChatTemplate) == 0 || string(config.ChatTemplate) == "null" {
		return "", bosToken, eosToken, nil
	}
	if json.Unmarshal(config.ChatTemplate, &src) == nil {
		return src, bosToken, eosToken, nil
	}
	var list []namedTemplate
	if err := json.Unmarshal(config.ChatTemplate, &list); err != nil {
		return "", "", "", fmt.Errorf("%s: chat_template is neither a text nor a list of name and template", where)
	}
	for _, t := range list {
		if t.Name == "default" {
			return t.Template, bosToken, eosToken, nil
		}
	}
	return "", "", "", fmt.Errorf("%s: none of the %d chat_templates is named default", where, len(list))
}

type namedTemplate struct{ Name, Template string }

// toolUse is the name of the template for conversations with tools.
const toolUse = "tool_use"

// ToolTemplate is the model's template for conversations with tools, "" if that is the
// same as for others: the one named tool_use beside chat_template.jinja, in
// tokenizer_config.json or in a GGUF.
func (c *Checkpoint) ToolTemplate() (string, error) {
	if c.gguf != nil {
		src, _ := c.gguf.String("tokenizer.chat_template." + toolUse)
		return src, nil
	}
	src, err := c.File("additional_chat_templates/" + toolUse + ".jinja")
	if !errors.Is(err, fs.ErrNotExist) {
		return string(src), err
	}
	if _, err := c.File("chat_template.jinja"); !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	data, err := c.File("tokenizer_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var config struct {
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", store.Join(c.ref, "tokenizer_config.json"), err)
	}
	var list []namedTemplate
	if json.Unmarshal(config.ChatTemplate, &list) != nil {
		return "", nil // one text, or none
	}
	for _, t := range list {
		if t.Name == toolUse {
			return t.Template, nil
		}
	}
	return "", nil
}

func (c *Checkpoint) ggufToken(which string) string {
	id, ok := c.gguf.Uint("tokenizer.ggml." + which + "_token_id")
	tokens, _ := c.gguf.Strings("tokenizer.ggml.tokens")
	if !ok || id >= uint64(len(tokens)) {
		return ""
	}
	return tokens[id]
}

// tokenText reads a special token: a text, an AddedToken object, or null.
func tokenText(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var s *string
	if json.Unmarshal(raw, &s) == nil {
		if s == nil {
			return "", nil
		}
		return *s, nil
	}
	var token struct{ Content *string }
	if err := json.Unmarshal(raw, &token); err != nil || token.Content == nil {
		return "", fmt.Errorf("%s is neither a text nor an added token", raw)
	}
	return *token.Content, nil
}
