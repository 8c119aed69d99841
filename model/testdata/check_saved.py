"""Does transformers load what Save wrote, with the same logits, bit for bit?

    python check_saved.py ORIGINAL_FOLDER SAVED_FOLDER [ORIGINAL_TOKENIZER_FOLDER]
"""
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def logits(folder, ids):
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{folder}: {kind} {report[kind]}"
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits, model


ids = torch.arange(3, 20)[None]
a, original = logits(sys.argv[1], ids)
b, saved = logits(sys.argv[2], ids)
assert type(original) is type(saved), (type(original), type(saved))
assert torch.equal(a, b), f"logits differ by up to {(a - b).abs().max()}"

if len(sys.argv) > 3:
    one, two = AutoTokenizer.from_pretrained(sys.argv[3]), AutoTokenizer.from_pretrained(sys.argv[2])
    chat = [{"role": "user", "content": "What is 12 + 34? Don't guess:\n\tcafé"}, {"role": "assistant", "content": "46 <|im_end|> done"}]
    x, y = (t.apply_chat_template(chat, tokenize=False) for t in (one, two))
    assert x == y, (x, y)
    assert one(x).input_ids == two(y).input_ids, (one(x).input_ids, two(y).input_ids)
    assert (one.bos_token, one.eos_token) == (two.bos_token, two.eos_token)
print("same")
