package eval

import (
	"fmt"
	"slices"
	"strings"

	"eaft/internal/cli"
	"eaft/tokenize/tokenizer"
)

// Language turns prompts into tokens.
type Language struct {
	Tokenizer *tokenizer.Tokenizer
	// Chat puts a user's message into the chat template, up to where the answer
	// begins; nil: prompts stand as they are.
	Chat func(user string) (string, error)
}

// lead are the special tokens that the tokenizer puts before a text, such as a
// BOS. A chat template writes its own.
func (l *Language) lead() []int32 {
	const probe = "a"
	with, without := l.Tokenizer.EncodeSpecial(probe).IDs, l.Tokenizer.Encode(probe).IDs
	for n := range with {
		if len(without) > 0 && len(with)-n >= len(without) && slices.Equal(with[n:n+len(without)], without) {
			return with[:n:n]
		}
	}
	return nil
}

// prompt is a prompt's text and tokens.
func (l *Language) prompt(s string) (text string, ids []int32, err error) {
	if l.Chat == nil {
		return s, slices.Concat(l.lead(), l.Tokenizer.Encode(s).IDs), nil
	}
	if text, err = l.Chat(s); err != nil {
		return "", nil, err
	}
	return text, l.Tokenizer.Encode(text).IDs, nil
}

// Prompts of the tasks, as in lm-evaluation-harness; subject and context where
// records have them.
const (
	PromptLetters  = "{question}\n{choices}Answer:"                                                                                // MMLU
	PromptSubject  = "The following are multiple choice questions (with answers) about {subject}.\n\n{question}\n{choices}Answer:" // MMLU
	PromptTexts    = "Question: {question}\nAnswer:"                                                                               // ARC
	PromptContext  = "Abstract: {context}\nQuestion: {question}\nAnswer:"                                                          // PubMedQA
	PromptQuestion = "{question}"
)

// fill puts values into a prompt's {names}. {{ is a brace.
func fill(prompt string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(prompt, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		if strings.HasPrefix(rest, "{") {
			b.WriteByte('{')
			prompt = rest[1:]
			continue
		}
		name, rest, ok := strings.Cut(rest, "}")
		if !ok {
			return "", fmt.Errorf("{%.20s is not closed", name)
		}
		s, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
		prompt = rest
	}
}

// CheckPrompt refuses a prompt that names what no record has.
func CheckPrompt(prompt string) error {
	_, err := fill(prompt, func(name string) (string, error) {
		switch name {
		case "question", "choices", "context", "subject":
			return "", nil
		}
		return "", fmt.Errorf("{%s} is none of {question}, {choices}, {context}, {subject}; a brace is {{", name)
	})
	if err != nil {
		return cli.Usagef("--prompt: %w", err)
	}
	return nil
}

// value is what stands in a prompt for a name. Subjects are written with spaces.
func (r *record) value(f *Fields, texts []string) func(name string) (string, error) {
	return func(name string) (string, error) {
		switch name {
		case "question":
			s, err := r.text(name, f.Question)
			return strings.TrimSpace(s), err
		case "context":
			return r.text(name, f.Context)
		case "subject":
			s, err := r.text(name, f.Subject)
			return strings.ReplaceAll(s, "_", " "), err
		}
		var b strings.Builder
		for i, s := range texts {
			fmt.Fprintf(&b, "%c. %s\n", letters[i], s)
		}
		return b.String(), nil
	}
}
