"""Log-probabilities by transformers in float32 of chat rows under a SmolLM2 GGUF.

    python smollm2_reference.py MODEL.gguf ROWS.jsonl N OUT.json

ROWS.jsonl has question and answer, such as GSM8K. OUT.json: ids, cu_seqlens,
targets (every token but each row's first) and logprob.
"""
import json, os, sys

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

path, rows, n, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
where = dict(pretrained_model_name_or_path=os.path.dirname(path), gguf_file=os.path.basename(path))
model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
tok = AutoTokenizer.from_pretrained(**where)
# SmolLM2 splits digits one by one; transformers' GGUF conversion forgets it.
tok.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
r = dict(ids=[], cu_seqlens=[0], targets=[], logprob=[])
with open(rows) as f:
    for line, _ in zip(f, range(n)):
        row = json.loads(line)
        text = tok.apply_chat_template([{"role": "user", "content": row["question"]},
                                        {"role": "assistant", "content": row["answer"]}], tokenize=False)
        ids = torch.tensor(tok(text, add_special_tokens=False).input_ids)
        with torch.no_grad():
            lp = torch.log_softmax(model(input_ids=ids[None], use_cache=False).logits[0, :-1].float(), -1)
        start = len(r["ids"])
        r["ids"] += ids.tolist()
        r["targets"] += range(start + 1, len(r["ids"]))
        r["cu_seqlens"].append(len(r["ids"]))
        r["logprob"] += lp.gather(1, ids[1:, None])[:, 0].tolist()
with open(out, "w") as f:
    json.dump(r, f)
