"""What torch and transformers make of ten optimizer steps on the tiny models in
../../model/testdata, in float32: the oracle of the trainer's tests.

    pip install torch==2.15.0 transformers==5.23.0
    OMP_NUM_THREADS=1 python make_fixtures.py

Writes golden.json:

    rows      [{ids, labels}]   labels -100 where a token is not trained
    steps     [[row, ...]]      the rows of each optimizer step, in order
    options   lr, warmup, weight_decay (matrices only), adam_eps, max_grad_norm, k
    runs.FAMILY.LOSS            loss sft or eaft
        loss, sft_loss, mean_weight, grad_norm, lr   one number a step
        params.STEP.NAME        after step 1 and step 10: [sum, sum of squares,
                                then the values at the indices of slice()]

Every row is run alone and its gradient added, so packing has to agree with
unpacked rows. The loss of a step is sum(w * -logprob) / N over all trained
targets of its rows; w is 1, or topk_entropy / ln k, detached.
"""
import json, math, os

import torch
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "model", "testdata")
OPTIONS = dict(lr=1e-3, warmup=0.3, weight_decay=1.0, adam_eps=1e-4, max_grad_norm=1.0, k=20)
LENGTHS = [7, 12, 3, 18, 5, 9, 15, 4, 11]
STEPS = 10


def make_rows():
    g = torch.Generator().manual_seed(11)
    rows = []
    for n in LENGTHS:
        ids = torch.randint(0, 97, (n,), generator=g).tolist()
        on = torch.rand(n, generator=g).tolist()
        labels = [t if u < 0.7 else -100 for t, u in zip(ids, on)]
        labels[-1] = ids[-1]  # at least one target
        rows.append(dict(ids=ids, labels=labels))
    return rows


def targets(row):
    return [t for t in range(1, len(row["ids"])) if row["labels"][t] != -100]


def rate(step):
    """Linear warm-up that reaches lr at the end of its share, then half a cosine."""
    w = math.ceil(OPTIONS["warmup"] * STEPS)
    if step < w:
        return OPTIONS["lr"] * (step + 1) / w
    return OPTIONS["lr"] / 2 * (1 + math.cos(math.pi * (step - w) / (STEPS - w)))


def slice_of(p):
    """Eight values spread evenly over the flattened parameter."""
    flat = p.detach().double().flatten()
    at = [i * (flat.numel() - 1) // 7 for i in range(8)]
    return [flat.sum().item(), (flat * flat).sum().item()] + [flat[i].item() for i in at]


def run(family, loss, rows, steps):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, family), dtype=torch.float32,
                                                 attn_implementation="eager")
    model.train()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    opt = torch.optim.AdamW([dict(params=matrices, weight_decay=OPTIONS["weight_decay"]),
                             dict(params=vectors, weight_decay=0.0)],
                            lr=OPTIONS["lr"], betas=(0.9, 0.999), eps=OPTIONS["adam_eps"], foreach=False)
    out = {k: [] for k in ("loss", "sft_loss", "mean_weight", "grad_norm", "lr")}
    out["params"] = {}
    for s, members in enumerate(steps):
        for group in opt.param_groups:
            group["lr"] = rate(s)
        n = sum(len(targets(rows[r])) for r in members)
        sums = [0.0, 0.0, 0.0]
        opt.zero_grad()
        for r in members:
            at = torch.tensor(targets(rows[r]))
            ids = torch.tensor(rows[r]["ids"])
            logits = model(ids[None]).logits[0, at - 1]
            logprobs = torch.log_softmax(logits, -1)
            chosen = logprobs.gather(1, ids[at][:, None])[:, 0]
            w = torch.ones_like(chosen)
            if loss == "eaft":
                top = torch.log_softmax(logits.detach().topk(OPTIONS["k"]).values, -1)
                w = -(top.exp() * top).sum(-1) / math.log(OPTIONS["k"])
            total = (w * -chosen).sum()
            (total / n).backward()
            for i, x in enumerate((total, -chosen.sum(), w.sum())):
                sums[i] += x.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIONS["max_grad_norm"])
        opt.step()
        for key, x in zip(("loss", "sft_loss", "mean_weight"), sums):
            out[key].append(x / n)
        out["grad_norm"].append(norm.item())
        out["lr"].append(rate(s))
        if s in (0, STEPS - 1):
            out["params"][str(s + 1)] = {name: slice_of(p) for name, p in model.named_parameters()}
    return out


def main():
    torch.set_num_threads(1)
    rows = make_rows()
    steps = [[(3 * s + i) % len(rows) for i in range(3)] for s in range(STEPS)]
    golden = dict(options=OPTIONS, rows=rows, steps=steps,
                  runs={f: {l: run(f, l, rows, steps) for l in ("sft", "eaft")} for f in ("llama", "qwen2", "qwen3")})
    with open(os.path.join(HERE, "golden.json"), "w") as f:
        json.dump(golden, f, separators=(",", ":"))
        f.write("\n")


main()
