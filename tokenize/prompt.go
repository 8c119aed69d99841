package tokenize

import "errors"

// ErrNoTemplate is a model without a chat template.
var ErrNoTemplate = errors.New("the model has no chat template")

// Prompt is what the chat template makes of a user's message, up to where the
// assistant's answer begins. It holds the template's special tokens, so that it
// is encoded without further ones.
func (l *Language) Prompt(user string) (string, error) {
	if l.chat == nil {
		return "", ErrNoTemplate
	}
	out, err := l.chat.render([]any{message("user", user)}, nil, true)
	return out.Text.S, err
}
