"""What PyTorch and PEFT make of ten optimizer steps on adapters of the tiny models
in ../../model/testdata, in float32, with the rows, steps and options of
golden.json: the oracle of lora_test.go.

    pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2
    OMP_NUM_THREADS=1 python make_lora.py

Writes lora.json, runs.NAME: family, rank, alpha, dropout, targets, seed and kind of
loss of the run, and the numbers that make_fixtures.py describes, of the adapters only.

Adapters begin with start(), A and B both, so that both have a gradient at once.
Dropout is PEFT's module with the bits of compute.Adapters' hash: keys are
fnv1a("SEED/STEP/ROW") + position * GOLDEN, the salt fnv1a of the module's name, and
four columns share the bits of one hash.
"""
import json, math, os

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "model", "testdata")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RUNS = {
    "llama": dict(family="llama", rank=4, alpha=8, dropout=0.0, targets=ALL, kind="eaft"),
    "qwen2": dict(family="qwen2", rank=2, alpha=3, dropout=0.0, targets=["q_proj", "v_proj"], kind="eaft"),
    "qwen3": dict(family="qwen3", rank=8, alpha=8, dropout=0.0, targets=["k_proj", "o_proj", "up_proj"], kind="sft"),
    "down": dict(family="qwen3", rank=3, alpha=6, dropout=0.0, targets=["down_proj"], kind="sft"),
    "dropout": dict(family="llama", rank=4, alpha=8, dropout=0.25, targets=ALL, kind="sft"),
    "dropout3": dict(family="qwen3", rank=4, alpha=4, dropout=0.5, targets=["q_proj", "gate_proj", "down_proj"], kind="sft"),
}
SEED, M64, GOLDEN = 5, (1 << 64) - 1, 0x9E3779B97F4A7C15


def fnv1a(text):
    h = 0xCBF29CE484222325
    for b in text.encode():
        h = (h ^ b) * 0x100000001B3 & M64
    return h


def scramble(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
    return z ^ z >> 31


class Dropout(torch.nn.Module):
    def __init__(self, p, name):
        super().__init__()
        self.p, self.salt, self.row = p, fnv1a(name), 0

    def forward(self, x):  # [1, T, K]: one row
        below, keep = round(self.p * 65536), torch.ones_like(x)
        for t in range(x.shape[1]):
            key = scramble((self.row + t * GOLDEN + self.salt) & M64)
            for j in range(x.shape[2]):
                bits = scramble((key + j // 4 * GOLDEN) & M64) >> 16 * (j % 4) & 0xFFFF
                keep[0, t, j] = float(bits >= below)
        return x * keep / (1 - self.p)


def start(p):
    """Multiples of 5/2^20 in ±5/32, exact in float32, from the flat index."""
    i = torch.arange(p.numel(), dtype=torch.int64)
    u = ((i * 2654435761 + 12345) % (1 << 32)) >> 16
    return ((u - 32768).float() / 65536 * 0.3125).reshape(p.shape)


def targets(row):
    return [t for t in range(1, len(row["ids"])) if row["labels"][t] != -100]


def rate(o, step, n):
    w = math.ceil(o["warmup"] * n)
    if step < w:
        return o["lr"] * (step + 1) / w
    return o["lr"] / 2 * (1 + math.cos(math.pi * (step - w) / (n - w)))


def slice_of(p):
    flat = p.detach().double().flatten()
    at = [i * (flat.numel() - 1) // 7 for i in range(8)]
    return [flat.sum().item(), (flat * flat).sum().item()] + [flat[i].item() for i in at]


def run(r, golden):
    o, rows, steps = golden["options"], golden["rows"], golden["steps"]
    base = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, r["family"]), dtype=torch.float32,
                                                attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(r=r["rank"], lora_alpha=r["alpha"], target_modules=r["targets"],
                                            lora_dropout=r["dropout"], task_type="CAUSAL_LM"))
    model.train()
    named = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    drops = []
    for name, module in model.named_modules():
        if r["dropout"] and hasattr(module, "lora_dropout") and "default" in module.lora_dropout:
            module.lora_dropout["default"] = Dropout(r["dropout"], name + ".")
            drops.append(module.lora_dropout["default"])
    with torch.no_grad():
        for p in named.values():
            p.copy_(start(p))
    opt = torch.optim.AdamW(named.values(), weight_decay=o["weight_decay"], betas=(0.9, 0.999), eps=o["adam_eps"],
                            foreach=False)
    out = {k: [] for k in ("loss", "sft_loss", "mean_weight", "grad_norm", "lr")}
    out["params"] = {}
    for s, members in enumerate(steps):
        lr = rate(o, s, len(steps))
        for group in opt.param_groups:
            group["lr"] = lr
        n = sum(len(targets(rows[i])) for i in members)
        sums = [0.0, 0.0, 0.0]
        opt.zero_grad()
        for i in members:
            for d in drops:
                d.row = fnv1a(f"{SEED}/{s + 1}/{i}")
            at, ids = torch.tensor(targets(rows[i])), torch.tensor(rows[i]["ids"])
            logits = model(ids[None]).logits[0, at - 1]
            chosen = torch.log_softmax(logits, -1).gather(1, ids[at][:, None])[:, 0]
            w = torch.ones_like(chosen)
            if r["kind"] == "eaft":
                top = torch.log_softmax(logits.detach().topk(o["k"]).values, -1)
                w = -(top.exp() * top).sum(-1) / math.log(o["k"])
            total = (w * -chosen).sum()
            (total / n).backward()
            for j, x in enumerate((total, -chosen.sum(), w.sum())):
                sums[j] += x.item()
        norm = torch.nn.utils.clip_grad_norm_(named.values(), o["max_grad_norm"])
        opt.step()
        for key, x in zip(("loss", "sft_loss", "mean_weight"), sums):
            out[key].append(x / n)
        out["grad_norm"].append(norm.item())
        out["lr"].append(lr)
        if s in (0, len(steps) - 1):
            out["params"][str(s + 1)] = {name: slice_of(p) for name, p in named.items()}
    return dict(r, seed=SEED, **out)


def main():
    torch.set_num_threads(1)
    with open(os.path.join(HERE, "golden.json")) as f:
        golden = json.load(f)
    with open(os.path.join(HERE, "lora.json"), "w") as f:
        json.dump(dict(runs={name: run(r, golden) for name, r in RUNS.items()}), f, separators=(",", ":"))
        f.write("\n")


main()
