"""What transformers' greedy generate makes of prompts with the fixture models, in
float32, to generation.json: [{variant, prompt, ids, gap}], where gap is the least
distance of the two largest logits in any step (how far a tie is).

    OMP_NUM_THREADS=1 python make_generation.py

With --model DIR and prompts (a JSON list of lists of ids) on standard input the
same for that model, printed.
"""
import argparse, json, os, sys

import torch
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
VARIANTS = ["llama", "llama3", "mistral", "qwen2", "qwen3"]


def greedy(folder, prompts, new, stop):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    out = []
    for p in prompts:
        with torch.no_grad():
            r = model.generate(torch.tensor([p]), attention_mask=torch.ones(1, len(p), dtype=torch.long), do_sample=False, max_new_tokens=new,
                               eos_token_id=stop, pad_token_id=0, return_dict_in_generate=True, output_logits=True)
        top = torch.stack(r.logits).topk(2, -1).values
        out.append({"prompt": p, "ids": r.sequences[0, len(p):].tolist(), "gap": (top[..., 0] - top[..., 1]).min().item()})
    return out


parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--new", type=int, default=24)
parser.add_argument("--stop", type=int, default=2)
a = parser.parse_args()
if a.model:
    json.dump(greedy(a.model, json.load(sys.stdin), a.new, a.stop), sys.stdout)
else:
    g = torch.Generator().manual_seed(11)
    rows = []
    for v in VARIANTS:
        prompts = [torch.randint(3, 97, (n,), generator=g).tolist() for n in (1, 5, 17, 9, 33)]
        rows += [{"variant": v, **r} for r in greedy(os.path.join(HERE, v), prompts, a.new, a.stop)]
    with open(os.path.join(HERE, "generation.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
