"""Does transformers give a trained folder's targets the log-probabilities that we do?

    python check_trained.py JOBS.json

JOBS.json lists name, from, folder, ids and the logprob of ids[1:]. Written against
torch 2.15, transformers 5.23. Both sides round chains of products, L layers of 7
products deep, of at most n terms each: 4*sqrt(7*L*n)*2^-24 of the largest logit on
either side (as in train/golden_test.go). Where the model has a tokenizer, that of the
folder must render and encode a chat as it does.
"""
import json, math, os, sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CHAT = [{"role": "user", "content": "What is 12 + 34? Don't guess:\n\tcaf\u00e9"},
        {"role": "assistant", "content": "46 <|im_end|> done"}]
for job in json.load(open(sys.argv[1])):
    model, report = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{job['folder']}: {kind} {report[kind]}"
    ids = torch.tensor([job["ids"]])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids, use_cache=False).logits[0, :-1]
    want = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    worst = (want - torch.tensor(job["logprob"])).abs().max().item()
    c = model.config
    bound = 2 * 4 * math.sqrt(7 * c.num_hidden_layers * c.intermediate_size) * 2.0**-24 * logits.abs().max().item()
    print(f"{job['name']}: log-probabilities differ by {worst:.3g} at most, bound {bound:.3g}")
    assert worst <= bound, job["name"]
    if os.path.exists(os.path.join(job["from"], "tokenizer.json")):
        one, two = (AutoTokenizer.from_pretrained(x) for x in (job["from"], job["folder"]))
        x, y = (t.apply_chat_template(CHAT, tokenize=False) for t in (one, two))
        assert x == y, (x, y)
        assert one(x).input_ids == two(y).input_ids
        assert (one.bos_token, one.eos_token, one.chat_template) == (two.bos_token, two.eos_token, two.chat_template)
        print(f"{job['name']}: {len(one(x).input_ids)} ids of a chat, template and special tokens are the same")
