"""Does llama.cpp compute from an exported GGUF what transformers does from the folder?

    python check_gguf.py JOBS.json

JOBS.json lists name, folder, gguf and dtype. Written against llama-cpp-python 0.3.36,
torch 2.15, transformers 5.23. Logits of a prompt, then 16 greedy tokens; where there
is a tokenizer, its ids of a text, the special tokens and the template.

Bounds, of the largest logit: in F32 both sides accumulate in float32 over chains of
products, L layers of 7 products deep, of at most n terms each, whose roundings add up to
4*sqrt(7*L*n)*2^-24 (as in train/golden_test.go) on either side. BF16 and F16 round weights
and llama.cpp the activations to 2^-9 and 2^-12 before each product: 4*sqrt(2*7*L) of these.
"""
import json, math, os, sys

import numpy as np
import torch
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXT = "Hello, world! It's 3.14159 and 1234567 things:\n\n\tdef f(x):\n        return x**2  # naïve café Größe МОСКВА 東京 🙂 "
for job in json.load(open(sys.argv[1])):
    folder, dtype = job["folder"], job["dtype"]
    ids = [3, 7, 1, 12]  # within the windows, which llama.cpp does not have in this architecture
    if job["name"] != "mistral":
        ids += [5, 9, 20, 2, 30, 31, 4, 17]
    lib = Llama(model_path=job["gguf"], n_ctx=256, n_batch=64, logits_all=True, verbose=False, type_k=0, type_v=0, flash_attn=False, n_threads=1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        want = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()
    lib.eval(ids)
    got = np.array(lib.scores[: len(ids)])
    layers, terms = model.config.num_hidden_layers, model.config.intermediate_size
    unit = {"BF16": 4 * math.sqrt(14 * layers) * 2.0**-9, "F16": 4 * math.sqrt(14 * layers) * 2.0**-12}.get(dtype, 0)
    bound = (unit + 2 * 4 * math.sqrt(7 * layers * terms) * 2.0**-24) * np.abs(want).max()
    worst = np.abs(got - want).max()
    print(f"{job['name']} {dtype}: logits differ by {worst:.3g} at most, bound {bound:.3g}")
    assert worst <= bound, job
    if job["name"] != "mistral" and dtype == "F32":
        out, seq = [], list(ids)
        for _ in range(16):
            with torch.no_grad():
                seq.append(int(model(input_ids=torch.tensor([seq]), use_cache=False).logits[0, -1].argmax()))
            out.append(int(np.argmax(lib.scores[lib.n_tokens - 1])))
            lib.eval([out[-1]])
        assert out == seq[len(ids):], (out, seq[len(ids):])
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tok = AutoTokenizer.from_pretrained(folder)
        a, b = tok(TEXT, add_special_tokens=False).input_ids, lib.tokenize(TEXT.encode(), add_bos=False, special=True)
        assert a == b, (a, b)
        assert lib.metadata["tokenizer.chat_template"] == tok.chat_template
        assert (lib.token_bos(), lib.token_eos()) == (tok.bos_token_id, tok.eos_token_id)
        print(f"{job['name']} {dtype}: {len(a)} ids of a text, template and special tokens are the same")
