package tokenize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"eaft/internal/cli"
	"eaft/tokenize/template"
)

// jsonOf spells a decoded value.
func jsonOf(v any) string {
	switch v := v.(type) {
	case *template.Dict:
		var parts []string
		for _, k := range v.Keys {
			parts = append(parts, jsonOf(k)+":"+jsonOf(v.Values[k]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, jsonOf(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestLayouts(t *testing.T) {
	const call = `"{\"name\":\"f\",\"arguments\":{\"a\":1}}"`
	for _, c := range []struct {
		name, record, options string
		layout, want          string // want: the canonical record, or why there is none
	}{
		{"messages", `{"id":3,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":[]}`, "",
			"messages", `{"id":3,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		{"messages with a system field", `{"messages":[{"role":"user","content":"a"}],"system":"s"}`, "",
			"messages", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}`},
		{"messages beside a prompt", `{"prompt":"a","completion":"c","messages":[{"role":"user","content":"a"}]}`, "",
			"messages", `{"messages":[{"role":"user","content":"a"}]}`},
		{"tools as a text, unwrapped", `{"messages":[{"role":"user","content":"a"}],"tools":"[{\"name\":\"f\"}]"}`, "",
			"messages", `{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}]}`},
		{"tools that are no JSON", `{"messages":[{"role":"user","content":"a"}],"tools":"f"}`, "", "messages", wrongType},
		{"ShareGPT", `{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b","weight":0}]}`, "",
			"ShareGPT", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]}`},
		{"ShareGPT with calls", `{"conversations":[{"from":"function_call","value":` + call + `},{"from":"observation","value":"o"}]}`, "",
			"ShareGPT", `{"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"call00000","type":"function","function":{"name":"f","arguments":{"a":1}}}]},` +
				`{"role":"tool","content":"o","tool_call_id":"call00000"}]}`},
		{"ShareGPT with a broken call", `{"conversations":[{"from":"function_call","value":"{"}]}`, "", "ShareGPT", wrongType},
		{"ShareGPT with a role of its own", `{"conversations":[{"from":"narrator","value":"x"}]}`, "", "ShareGPT", wrongType},
		{"that role mapped", `{"conversations":[{"from":"narrator","value":"x"}]}`, "role:narrator=system",
			"ShareGPT", `{"messages":[{"role":"system","content":"x"}]}`},
		{"Alpaca", `{"instruction":"a","input":"","output":"b"}`, "", "Alpaca", `{"prompt":"a","completion":"b"}`},
		{"Alpaca with everything", `{"instruction":"a","input":"i","output":"b","system":"s","history":[["q","r"]]}`, "",
			"Alpaca", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"r"},{"role":"user","content":"a\ni"},{"role":"assistant","content":"b"}]}`},
		{"Alpaca with a broken history", `{"instruction":"a","input":"i","output":"b","history":[["q"]]}`, "", "Alpaca", wrongType},
		{"prompt and completion", `{"prompt":"a","completion":"b"}`, "", "prompt and completion", `{"prompt":"a","completion":"b"}`},
		{"question and answer", `{"question":"a","answer":7}`, "", "prompt and completion", `{"prompt":"a","completion":"7"}`},
		{"an answer that is empty", `{"question":"a","answer":""}`, "", "prompt and completion", emptyAnswer},
		{"Dolly", `{"instruction":"a","context":"c","response":"b"}`, "", "prompt and completion", `{"prompt":"a\nc","completion":"b"}`},
		{"prompt and completion of messages", `{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"completion":[{"role":"assistant","content":"d"}],"tools":[{"name":"f"}]}`, "",
			"prompt and completion", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b","train":false},{"role":"user","content":"c"},{"role":"assistant","content":"d"}],` +
				`"tools":[{"type":"function","function":{"name":"f"}}]}`},
		{"a prompt of messages and a text", `{"prompt":[{"role":"user","content":"a"}],"response":"b","system":"s"}`, "",
			"prompt and completion", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		{"a text and messages, mapped", `{"q":"a","r":[{"role":"assistant","content":"b"}]}`, "user=q,assistant=r", "mapped", `{"prompt":"a","completion":"b"}`},
		{"a system field and a system message", `{"prompt":[{"role":"system","content":"own"},{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}],"system":"s"}`, "",
			"prompt and completion", `{"messages":[{"role":"system","content":"own"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		{"a message's own train field", `{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b","train":true}],"completion":[{"role":"assistant","content":"c"}]}`, "",
			"prompt and completion", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","train":true},{"role":"assistant","content":"c"}]}`},
		{"a completion without an answer", `{"prompt":[{"role":"assistant","content":"a"}],"completion":[{"role":"user","content":"b"}]}`, "", "prompt and completion", emptyAnswer},
		{"a message without a role", `{"prompt":[{"content":"a"}],"completion":[{"role":"assistant","content":"b"}]}`, "", "prompt and completion", missingField},
		{"a message that is none", `{"prompt":[{"role":"user","content":"a"},3],"completion":[{"role":"assistant","content":"b"}]}`, "", "prompt and completion", wrongType},
		{"tools mapped to a pair", `{"q":"a","r":"b","t":[{"name":"f"}]}`, "user=q,assistant=r,tools=t",
			"mapped", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":[{"type":"function","function":{"name":"f"}}]}`},
		{"text", `{"text":"a"}`, "", "plain text", `{"text":"a"}`},
		{"tokens", `{"input_ids":[1,2],"labels":[-100,2],"text":"x"}`, "", "tokens", `{"input_ids":[1,2],"labels":[-100,2]}`},
		{"mapped, nested and joined", `{"Q":"q","C":["c","d"],"meta":{"a":["x","y"]}}`, "user=C+Q,assistant=meta.a.1",
			"mapped", `{"prompt":"c\nd\nq","completion":"y"}`},
		{"mapped to what is not there", `{"Q":"q"}`, "user=Q,assistant=A", "mapped", missingField},
		{"mapped to an object", `{"Q":{},"A":"a"}`, "user=Q,assistant=A", "mapped", wrongType},
		{"mapped messages", `{"turns":[{"who":"bot","says":"x"}]}`, "messages=turns,role=who,content=says",
			"mapped", `{"messages":[{"role":"assistant","content":"x"}]}`},
		{"mapped id", `{"key":"k","text":"a"}`, "id=key", "plain text", `{"id":"k","text":"a"}`},
	} {
		record, err := decode([]byte(c.record))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMap(strings.Fields(c.options))
		if err != nil {
			t.Fatal(err)
		}
		l := mapped(m, detect(record))
		if l == nil || l.name != c.layout {
			t.Errorf("%s: layout %v, want %s", c.name, l, c.layout)
			continue
		}
		out, err := l.canonical(record)
		got := jsonOf(out)
		var why *reject
		if errors.As(err, &why) {
			got = why.reason
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
		}
	}
	for _, record := range []string{`{}`, `{"a":1}`, `{"messages":"x"}`, `{"conversations":[1]}`, `{"prompt":"x"}`, `{"text":1}`} {
		data, _ := decode([]byte(record))
		if l := detect(data); l != nil {
			t.Errorf("%s: taken for %s", record, l)
		}
	}
}

func TestMapRefusals(t *testing.T) {
	for _, arg := range []string{"user", "user=", "usr=a", "user=a", "assistant=a", "text=a,messages=b", "user=a,assistant=b,text=c", "labels=l", "text=a,history=h", "role:x=boss", "id=a,id=b"} {
		if _, err := ParseMap([]string{arg}); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// The template that ships with the demo knows no tool calls: those given as a
// text stay a text, others are rejected rather than lost.
func TestToolCallsWithoutTemplate(t *testing.T) {
	l := chatML(t)
	if l.chat.writesCalls() {
		t.Fatal("the demo's template writes tool calls")
	}
	in := write(t, "in.jsonl", `{"conversations":[{"from":"human","value":"a"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{}}"},{"from":"observation","value":"o"},{"from":"gpt","value":"b"}],"tools":"[]"}`)
	rows, log := made(t, l, options(t.TempDir(), in))
	if got, want := trained(l, &rows[0]), `{"name":"f","arguments":{}}<|im_end|>|b<|im_end|>`; got != want {
		t.Errorf("trained %q, want %q", got, want)
	}
	if !strings.Contains(log, "the chat template writes no tools: tools is left out") {
		t.Errorf("the log says %q", log)
	}
	in = write(t, "m.jsonl", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`+"\n"+
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`)
	o := options(t.TempDir(), in)
	sets, _, err := Run(context.Background(), l, o)
	if err != nil || sets[0].Manifest.Ledger.Dropped[toolCallsLost] != 1 {
		t.Errorf("%v, %v", sets, err)
	}
}

// An error for a file that does not fit names file, record, field and remedy.
func TestFilesThatDoNotFit(t *testing.T) {
	l := chatML(t)
	for _, c := range []struct{ content, mapping, says string }{
		{`{"a":"x","b":"y"}`, "", "in.jsonl: record 0: no layout that is known has the fields a, b .*--map user=FIELD"},
		{`{"a":"x","b":"y"}`, "user=a,assistant=c", "in.jsonl: record 0: missing field: no c; the record's fields are a, b.*--map"},
		{`{"a":`, "", "in.jsonl: record 0: malformed JSON: at byte .*neither JSON Lines.*put it on one, as with jq -c . FILE"},
		{"{\n \"name\": \"x\",\n \"samples\": [\n  {\"text\": \"a\"}]\n}", "", "in.jsonl: record 0: malformed JSON: at byte .*a list in it, take that out, as with jq .FIELD"},
		{"{\"text\": \"a\n}", "", "in.jsonl: record 0: malformed JSON: at byte .*"},
		{`[1, 2]`, "", "in.jsonl: record 0: wrong type: the record is a number where an object is needed.*"},
		{`[{"text":"a"} {"text":"b"}]`, "", "in.jsonl: record 1, byte 14: .* where a comma"},
		{`[{"text":"a"}`, "", "in.jsonl: record 1: the file ends within a value"},
		{`[{"text":"a"}] x`, "", "in.jsonl: byte 15: .* after the end"},
		{"\x1f\x8bxx", "", "in.jsonl: .*"},
		{"text\na", "", "in.jsonl: begins with 't': neither JSON.*name a CSV file .csv.*jq -Rc '{text: .}'"},
		{"\xff\xfe{\x00}\x00", "", "in.jsonl: the text is UTF-16.*iconv -f UTF-16 -t UTF-8"},
		{"\xff\xfe\x00\x00{\x00\x00\x00", "", "in.jsonl: the text is UTF-32;.*iconv -f UTF-32 -t UTF-8"},
		{"\x00\x00\xfe\xff\x00\x00\x00{", "", "in.jsonl: the text is UTF-32;.*iconv -f UTF-32 -t UTF-8"},
		{"{\"text\": \"caf\xe9\"}\n", "", "in.jsonl: record 0: invalid UTF-8: .*Make UTF-8 of the file, as with iconv -f LATIN1 -t UTF-8"},
		{"{\"text\": NaN}\n", "", "in.jsonl: record 0: malformed JSON: at byte 9: 'N' .*Mend the file: a record is a JSON object, which has neither NaN"},
		{"{\"a\": 1}\n", "", "in.jsonl: record 0: no layout that is known has the fields a .*Name the fields: --map user=FIELD"},
		{"PAR1 this is none", "", "in.jsonl: .*not a readable Parquet file.*"},
	} {
		o := options(t.TempDir(), write(t, "in.jsonl", c.content))
		o.Map, _ = ParseMap(strings.Fields(c.mapping))
		_, _, err := Run(context.Background(), l, o)
		if cli.Code(err) != cli.ExitUsage || !matches(c.says, fmt.Sprint(err)) {
			t.Errorf("%q: %v, want %q", c.content, err, c.says)
		}
	}
}
