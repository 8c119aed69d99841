"""Does transformers load what Save wrote, with the same logits, bit for bit?

    python check_saved.py ORIGINAL SAVED [ORIGINAL SAVED ...]

Each is a folder or a GGUF file. Where the original has a tokenizer, the saved
one must render and encode a chat as it does.
"""
import os, sys

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer


def where(ref):
    if ref.endswith(".gguf"):
        return dict(pretrained_model_name_or_path=os.path.dirname(ref), gguf_file=os.path.basename(ref))
    return dict(pretrained_model_name_or_path=ref)


def load(ref):
    model, report = AutoModelForCausalLM.from_pretrained(**where(ref), dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{ref}: {kind} {report[kind]}"
    return model


def tokenizer(ref):
    tok = AutoTokenizer.from_pretrained(**where(ref))
    if ref.endswith(".gguf"):
        # SmolLM2 splits digits one by one; transformers' GGUF conversion forgets it.
        tok.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    return tok


CHAT = [{"role": "user", "content": "What is 12 + 34? Don't guess:\n\tcaf\u00e9"},
        {"role": "assistant", "content": "46 <|im_end|> done"}]
ids = torch.arange(3, 20)[None]
for original, saved in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    one, two = load(original), load(saved)
    assert type(one) is type(two), (type(one), type(two))
    with torch.no_grad():
        a, b = (m(input_ids=ids, use_cache=False).logits for m in (one, two))
    assert torch.equal(a, b), f"{saved}: logits differ by up to {(a - b).abs().max()}"
    if original.endswith(".gguf") or os.path.exists(os.path.join(original, "tokenizer.json")):
        one, two = tokenizer(original), tokenizer(saved)
        x, y = (t.apply_chat_template(CHAT, tokenize=False) for t in (one, two))
        assert x == y, (x, y)
        assert one(x).input_ids == two(y).input_ids, (one(x).input_ids, two(y).input_ids)
        assert (one.bos_token, one.eos_token) == (two.bos_token, two.eos_token)
