"""Prints what transformers' apply_chat_template makes of conversations, for apply_test.go.

Usage: python apply.py CONVERSATIONS TEMPLATE...

CONVERSATIONS holds {"variables": [...], "conversations": [{"name", "messages"}]}; each template is rendered for every
conversation with every set of variables, in that order. A line of output is one rendering: {"text", "generation"}
(generation: the character ranges of generation blocks) or {"error"}.
"""
import json
import os
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = ("bos_token", "eos_token")


def render(source, variables):
    variables = json.loads(json.dumps(variables))
    special = {k: variables.pop(k) for k in SPECIAL if k in variables}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")), **special)
    messages = variables.pop("messages")
    text = tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False, **variables)
    out = {"text": text}
    if "generation" in source and not variables.get("add_generation_prompt"):
        kept = [{k: v for k, v in m.items() if v is not None} for m in messages]
        _, ranges = render_jinja_template([kept], chat_template=source, return_assistant_tokens_mask=True,
                                          **tokenizer.special_tokens_map, **variables)
        out["generation"] = ranges[0]
    return out


with open(sys.argv[1], encoding="utf-8") as f:
    cases = json.load(f)
with open(1, "w", encoding="utf-8") as out:
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8", newline="") as f:
            source = f.read()
        for conversation in cases["conversations"]:
            for more in cases["variables"]:
                try:
                    result = render(source, {"messages": conversation["messages"], **more})
                except Exception as e:  # what matters is that it fails
                    result = {"error": f"{type(e).__name__}: {e}"}
                out.write(json.dumps(result) + "\n")
