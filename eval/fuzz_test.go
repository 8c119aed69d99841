package eval

import (
	"testing"

	"eaft/internal/bound"
)

// FuzzRecord: whatever a record of a task and the mapping of its fields hold, an
// error or an answer among the choices.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		`{"question":"q","choices":["a","b"],"answer":1,"subject":"s_t","id":3}`, `{"question":"q","options":{"A":"a","B":"b"},"answer_idx":"B"}`,
		`{"question":{"stem":"q"},"choices":{"text":["a","b"],"label":["1","2"]},"answerKey":"2"}`, `{"QUESTION":"q","CONTEXTS":["a","b"],"final_decision":"yes"}`,
		`{"question":"q","A":"a","B":"b","answer":"a"}`, `{"choices":[],"answer":-1}`, `{"choices":["a","a"],"answer":"a"}`, `[]`, `null`, `{"answer":1e99,"choices":["1","0"]}`,
	} {
		f.Add([]byte(s), "choices=A,B", "{subject}: {question} {choices} {{")
		f.Add([]byte(s), "question=question.stem", PromptContext)
	}
	f.Fuzz(func(t *testing.T, raw []byte, field, prompt string) {
		bound.Memory(t, len(raw)+len(field)+len(prompt))
		fields, err := ParseFields([]string{field})
		if err != nil {
			fields = Fields{}
		}
		src := Source{Name: "x", Each: func(f func(key, raw []byte) error) error { return f(nil, raw) }}
		records, err := src.records(&fields, 0)
		if err != nil {
			return
		}
		r := &records[0]
		texts, names, err := r.choices(fields.Choices)
		if err == nil {
			if gold, err := r.gold(fields.Answer, texts, names); err == nil && (gold < 0 || gold >= len(texts)) {
				t.Fatalf("%s: choice %d of %d", raw, gold, len(texts))
			}
		}
		if CheckPrompt(prompt) == nil {
			fill(prompt, r.value(&fields, texts))
		}
		Numbers(string(raw))
		normal(string(raw))
	})
}
