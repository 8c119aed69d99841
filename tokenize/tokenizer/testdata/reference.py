"""What Hugging Face's tokenizers makes of texts: argv[1] is a tokenizer.json, stdin a
JSON list of texts, stdout a JSON object a line and text: ids, starts and ends (bytes)
without special tokens, special ids with them, and the text decoded from ids."""
import json, sys

from tokenizers import Tokenizer

t = None


def at(text):
    """The byte where each character begins, and the end."""
    out = [0]
    for c in text:
        out.append(out[-1] + len(c.encode()))
    return out


def expect(text):
    e = t.encode(text, add_special_tokens=False)
    b = at(text)
    return {
        "ids": e.ids, "starts": [b[lo] for lo, _ in e.offsets], "ends": [b[hi] for _, hi in e.offsets],
        "special": t.encode(text).ids, "text": t.decode(e.ids, skip_special_tokens=False),
    }


if __name__ == "__main__":
    t = Tokenizer.from_file(sys.argv[1])
    t.no_truncation()  # as transformers has it unless it is asked for
    t.no_padding()
    for text in json.load(sys.stdin):
        print(json.dumps(expect(text)))
