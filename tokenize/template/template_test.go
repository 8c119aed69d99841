package template

import (
	"os"
	"testing"
)

func TestChatML(t *testing.T) {
	src, err := os.ReadFile("testdata/smollm2.jinja")
	if err != nil {
		t.Fatal(err)
	}
	tm, err := Parse(string(src))
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON([]byte(`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"hé"}],"add_generation_prompt":true}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := tm.Render(v.(*Dict))
	if err != nil {
		t.Fatal(err)
	}
	want := "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nhé<|im_end|>\n<|im_start|>assistant\n"
	if out.Text.S != want {
		t.Errorf("got %q, want %q", out.Text.S, want)
	}
	for i := range "hé" {
		if o := out.Text.At(len("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n") + i); o != (Origin{1, "content"}) {
			t.Errorf("byte %d comes from %v", i, o)
		}
	}
}
