"""What torch and transformers make of label smoothing, KL to the frozen base and
NEFTune: the rows, steps and options of golden.json, which make_fixtures.py
describes, trained anew with the regularisers of RUNS.

    pip install torch==2.15.0 transformers==5.23.0 numpy
    OMP_NUM_THREADS=1 python make_regular_fixtures.py

Writes regular.json:

    runs.NAME           loss, label_smoothing, kl, neftune, normalize (tokens if absent)
    seed                of the noise
    traces.FAMILY.NAME  as golden.json's runs, and smooth_loss and kl: means over
                        the step's targets, unweighted

The loss of a step is 1/N sum(w * smoothed cross entropy) + kl/N sum(KL(base ||
tuned)), and with normalize weights sum(w) takes the place of N. Row r's noise in step n (from 1) comes of SplitMix64; see noise().
"""
import json, math, os

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "model", "testdata")
SEED = 3
RUNS = {
    "smoothing": dict(loss="eaft", label_smoothing=0.1, kl=0, neftune=0),
    "kl": dict(loss="sft", label_smoothing=0, kl=0.5, neftune=0),
    "neftune": dict(loss="sft", label_smoothing=0, kl=0, neftune=5),
    "normalized": dict(loss="eaft", label_smoothing=0.1, kl=0, neftune=0, normalize="weights"),
    "all": dict(loss="eaft", label_smoothing=0.2, kl=1, neftune=2),
}
U64 = 2**64 - 1


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & U64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & U64
    return z ^ z >> 31


def noise(alpha, length, width, step, row):
    """Uniform in [-1, 1) times alpha / sqrt(length width), [length, width]."""
    state = mix((mix((mix(SEED) + step) & U64) + row) & U64)
    out = np.empty(length * width, np.float32)
    for i in range(out.size):
        state = (state + 0x9E3779B97F4A7C15) & U64
        out[i] = (mix(state) >> 40) / 2**23 - 1
    return torch.from_numpy(out * np.float32(alpha / math.sqrt(length * width))).view(length, width)


def targets(row):
    return [t for t in range(1, len(row["ids"])) if row["labels"][t] != -100]


def load(family):
    return AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, family), dtype=torch.float32,
                                                attn_implementation="eager")


def slice_of(p):
    flat = p.detach().double().flatten()
    at = [i * (flat.numel() - 1) // 7 for i in range(8)]
    return [float("%.12g" % x) for x in (flat.sum(), (flat * flat).sum())] + [float("%.9g" % flat[i]) for i in at]


def run(family, o, golden):
    options, rows = golden["options"], golden["rows"]
    model, base = load(family).train(), load(family).eval()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    opt = torch.optim.AdamW([dict(params=matrices, weight_decay=options["weight_decay"]),
                             dict(params=vectors, weight_decay=0.0)],
                            lr=options["lr"], betas=(0.9, 0.999), eps=options["adam_eps"], foreach=False)
    keys = ("loss", "sft_loss", "mean_weight", "smooth_loss", "kl")
    out = {k: [] for k in keys + ("grad_norm", "lr")}
    out["params"] = {}
    rates = golden["runs"][family]["sft"]["lr"]
    for s, members in enumerate(golden["steps"]):
        for group in opt.param_groups:
            group["lr"] = rates[s]
        n = sum(len(targets(rows[r])) for r in members)
        sums, totals = dict.fromkeys(keys, 0.0), 0
        opt.zero_grad()
        for r in members:
            at, ids = torch.tensor(targets(rows[r])), torch.tensor(rows[r]["ids"])
            x = model.get_input_embeddings()(ids)
            if o["neftune"]:
                x = x + noise(o["neftune"], len(ids), x.shape[1], s + 1, r)
            logits = model(inputs_embeds=x[None]).logits[0, at - 1]
            with torch.no_grad():
                q = torch.log_softmax(base(ids[None]).logits[0, at - 1], -1)
            ce = F.cross_entropy(logits, ids[at], reduction="none")
            smooth = F.cross_entropy(logits, ids[at], reduction="none", label_smoothing=o["label_smoothing"])
            kl = F.kl_div(torch.log_softmax(logits, -1), q, reduction="none", log_target=True).sum(-1)
            w = torch.ones_like(ce)
            if o["loss"] == "eaft":
                top = torch.log_softmax(logits.detach().topk(options["k"]).values, -1)
                w = -(top.exp() * top).sum(-1) / math.log(options["k"])
            totals = totals + (w * smooth).sum() + o["kl"] * kl.sum()
            for k, v in zip(keys[1:], (ce.sum(), w.sum(), smooth.sum(), kl.sum())):
                sums[k] += v.item()
        loss = totals / (sums["mean_weight"] if o.get("normalize") == "weights" else n)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), options["max_grad_norm"])
        opt.step()
        out["loss"].append(loss.item())
        for k in keys[1:]:
            out[k].append(sums[k] / n)
        out["grad_norm"].append(norm.item())
        out["lr"].append(rates[s])
        if s in (0, len(golden["steps"]) - 1):
            out["params"][str(s + 1)] = {name: slice_of(p) for name, p in model.named_parameters()}
    return out


def main():
    torch.set_num_threads(1)
    with open(os.path.join(HERE, "golden.json")) as f:
        golden = json.load(f)
    traces = {f: {name: run(f, o, golden) for name, o in RUNS.items()} for f in ("llama", "qwen2", "qwen3")}
    with open(os.path.join(HERE, "regular.json"), "w") as f:
        json.dump(dict(seed=SEED, runs=RUNS, traces=traces), f, separators=(",", ":"))
        f.write("\n")


main()
