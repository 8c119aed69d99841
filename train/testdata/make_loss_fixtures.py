"""What torch and transformers make of ten optimizer steps on the tiny models in
../../model/testdata with each loss that weights the cross-entropy, in float64:
the oracle of the weights. The weights are written down from the papers.

    pip install torch==2.15.0 transformers==5.23.0
    OMP_NUM_THREADS=1 python make_loss_fixtures.py

Writes losses.json; rows, steps and the schedule are those of golden.json.

    options     as in golden.json
    cases.CASE  the options of a loss, named as in run.json
    base.FAMILY [{logprob, entropy, topk_entropy, topk_mass}] of each row's targets
                under the model before training, rounded to float32
    runs.FAMILY.CASE
        loss, sft_loss, mean_weight, grad_norm   one number a step; grad_norm
                is that of the loss as it is, before clipping
        params.STEP.NAME  as in golden.json

Every row is run alone. A target whose masking float32 could decide otherwise
than float64 is an error.
"""
import json
import math
import os

import numpy as np
import torch
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "model", "testdata")
GOLDEN = json.load(open(os.path.join(HERE, "golden.json")))
ROWS, STEPS = GOLDEN["rows"], GOLDEN["steps"]
# A larger eps than golden.json's: the bound of a parameter is an error over eps.
OPTIONS = dict(GOLDEN["options"], adam_eps=1e-2)
K = OPTIONS["k"]
CUTS = dict(mask_cuts="p<=0.05,h<=0.6", min_mass=0.5)
CASES = {
    "square": dict(loss="eaft", gate="square"),
    "cube, truncated": dict(loss="eaft", gate="cube", estimator="trunc"),
    "power, full entropy": dict(loss="eaft", gate="power", alpha=0.5, estimator="full"),
    "sigmoid": dict(loss="eaft", gate="sigmoid", alpha=6, beta=0.4),
    "llamafactory": dict(loss="eaft", preset="llamafactory", alpha=2),
    "axolotl": dict(loss="eaft", preset="axolotl"),
    "mask": dict(loss="mask", **CUTS),
    "mask of the base": dict(loss="mask", mask_from="base", **CUTS),
    "offline-eaft": dict(loss="offline-eaft"),
    "dft": dict(loss="dft"),
    "focal": dict(loss="focal"),
    "mile": dict(loss="mile"),
    "talr": dict(loss="talr"),
    "flow": dict(loss="flow"),
    "eaft over weights": dict(loss="eaft", normalize="weights"),
    "dft over weights": dict(loss="dft", normalize="weights"),
}


def targets(row):
    return [t for t in range(1, len(row["ids"])) if row["labels"][t] != -100]


def measure(logits, ids):
    """logprob of ids, entropy, top-k entropy and mass of [n, V] logits, and the top k's probabilities."""
    logp = torch.log_softmax(logits, -1)
    top = logits.topk(K).values
    renorm = torch.log_softmax(top, -1)
    return dict(logprob=logp.gather(1, ids[:, None])[:, 0], entropy=-(logp.exp() * logp).sum(-1),
                topk_entropy=-(renorm.exp() * renorm).sum(-1), topk_mass=logp.topk(K).values.exp().sum(-1),
                renorm=renorm.exp())


def gate_entropy(o, v):
    e = o.get("estimator", "renorm")
    if e == "trunc":
        h = v["topk_mass"] * (v["topk_entropy"] - torch.log(v["topk_mass"]))
    else:
        h = v["entropy" if e == "full" else "topk_entropy"]
    return torch.clamp(h / math.log(K), max=1)


def weight(o, v, base, tau, flow_tau):
    """w of a row's targets, detached; tau is the step's, flow_tau the dataset's."""
    p = torch.exp(v["logprob"])
    loss = o["loss"]
    if loss == "eaft" and o.get("preset") == "llamafactory":
        return (v["topk_entropy"] / 3.0) ** o["alpha"]
    if loss == "eaft" and o.get("preset") == "axolotl":
        return -(v["renorm"] * torch.log(v["renorm"] + 1e-10)).sum(-1)
    if loss == "eaft":
        h = gate_entropy(o, v)
        return {"linear": lambda: h, "square": lambda: h**2, "cube": lambda: h**3, "power": lambda: h ** o["alpha"],
                "sigmoid": lambda: 1 / (1 + torch.exp(-o["alpha"] * (h - o["beta"])))}[o.get("gate", "linear")]()
    if loss == "offline-eaft":
        return base["topk_entropy"] / math.log(K)
    if loss == "mask":
        if o.get("mask_from") == "base":
            v = base
        p, h = torch.exp(v["logprob"]), gate_entropy(o, v)
        for x, cut in ((p, 0.05), (h, 0.6), (v["topk_mass"], 0.5)):
            assert (x - cut).abs().min() > 1e-4 * cut, "a target falls on a cut"
        return 1.0 - ((p <= 0.05) & (h <= 0.6) & (v["topk_mass"] >= 0.5)).double()
    if loss == "dft":
        return p
    if loss == "focal":
        return (1 - p) ** 2
    if loss == "mile":
        return 1 + v["entropy"]
    if loss == "talr":
        return torch.clamp(p ** (1 / tau), min=0.01)
    if loss == "flow":
        return torch.exp(base["logprob"].mean() / flow_tau).expand(len(p))


def slice_of(p):
    """Eight values spread evenly over the flattened parameter."""
    flat = p.detach().flatten()
    at = [i * (flat.numel() - 1) // 7 for i in range(8)]
    return [float(f"{x:.10g}") for x in [flat.sum().item(), (flat * flat).sum().item()] + [flat[i].item() for i in at]]


def forward(model, row):
    at, ids = torch.tensor(targets(row)), torch.tensor(row["ids"])
    return model(ids[None]).logits[0, at - 1], ids[at]


def load(family):
    return AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, family), dtype=torch.float64, attn_implementation="eager")


def annotate(family):
    with torch.no_grad():
        model = load(family)
        out = [measure(*forward(model, r)) for r in ROWS]
    return [{k: x.float().double() for k, x in v.items() if k != "renorm"} for v in out]


def run(family, o, base):
    model = load(family)
    model.train()
    opt = torch.optim.AdamW([dict(params=[p for p in model.parameters() if p.dim() == 2], weight_decay=OPTIONS["weight_decay"]),
                             dict(params=[p for p in model.parameters() if p.dim() != 2], weight_decay=0.0)],
                            betas=(0.9, 0.999), eps=OPTIONS["adam_eps"], foreach=False)
    flow_tau = float(np.median([-b["logprob"].mean().item() for b in base]))
    out = {k: [] for k in ("loss", "sft_loss", "mean_weight", "grad_norm")}
    out["params"] = {}
    masked = 0
    warm = math.ceil(OPTIONS["warmup"] * len(STEPS))
    for s, members in enumerate(STEPS):
        lr = OPTIONS["lr"] * ((s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (len(STEPS) - warm))))
        for group in opt.param_groups:
            group["lr"] = lr
        opt.zero_grad()
        rows = [(base[r], *forward(model, ROWS[r])) for r in members]
        with torch.no_grad():
            values = [measure(logits, ids) for _, logits, ids in rows]
            tau = float(np.median([-v["logprob"].mean().item() for v in values]))
            ws = [weight(o, v, b, tau, flow_tau) for v, (b, _, _) in zip(values, rows)]
            if o["loss"] == "mile":
                a = 1 / torch.cat(ws).mean()
                ws = [a * w for w in ws]
        masked += sum((w == 0).sum().item() for w in ws)
        ce = torch.cat([torch.nn.functional.cross_entropy(logits, ids, reduction="none") for _, logits, ids in rows])
        w = torch.cat(ws)
        loss = (w * ce).sum() / (w.sum() if o.get("normalize") == "weights" else len(w))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIONS["max_grad_norm"])
        opt.step()
        for key, x in zip(out, (loss, ce.mean(), w.mean(), norm)):
            out[key].append(float(f"{x.item():.10g}"))
        if s in (0, len(STEPS) - 1):
            out["params"][str(s + 1)] = {name: slice_of(p) for name, p in model.named_parameters()}
    print(family, o, "mean weight %.3g to %.3g" % (min(out["mean_weight"]), max(out["mean_weight"])), masked, "masked")
    return out


def main():
    torch.set_num_threads(1)
    out = dict(options=OPTIONS, cases=CASES, base={}, runs={})
    for family in ("llama", "qwen2", "qwen3"):
        base = annotate(family)
        out["base"][family] = [{k: [float(f"{x:.9g}") for x in v.tolist()] for k, v in b.items()} for b in base]
        out["runs"][family] = {name: run(family, o, base) for name, o in CASES.items()}
    with open(os.path.join(HERE, "losses.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


main()
