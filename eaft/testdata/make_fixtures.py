"""Writes losses.json: weights and losses of the two public EAFT losses, and
quantiles and correlations by numpy.

Pinned: torch 2.15, numpy 2.4.6. The formulas restate
LLaMA-Factory src/llamafactory/train/trainer_utils.py (_eaft_cross_entropy) and
axolotl src/axolotl/monkeypatch/loss/eaft.py, in float64.
"""
import json
import os

import numpy as np
import torch

os.chdir(os.path.dirname(os.path.abspath(__file__)))
g = torch.Generator().manual_seed(7)
logits = torch.randn(24, 40, generator=g, dtype=torch.float64) * torch.linspace(0.1, 12, 24, dtype=torch.float64)[:, None]
logits = (logits * 1000).round() / 1000
targets = torch.randint(0, 40, (24,), generator=g)
ce = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
top, _ = torch.topk(logits, 20, dim=-1)
out = {"logits": logits.tolist(), "targets": targets.tolist(), "cases": []}
for alpha in (0.5, 1.0, 2.0):
    logp = top - torch.logsumexp(top, -1, keepdim=True)
    factory = torch.pow(-(logp.exp() * logp).sum(-1) / 3.0, alpha)
    p = torch.softmax(top, -1)
    axolotl = torch.pow(-(p * torch.log(p + 1e-10)).sum(-1), alpha)
    out["cases"].append({"alpha": alpha, "factory": factory.tolist(), "factory_loss": (ce * factory).mean().item(),
                         "axolotl": axolotl.tolist(), "axolotl_loss": (ce * axolotl).mean().item()})
x = np.random.default_rng(3).normal(size=37).astype(np.float32)
y = (x * 0.5 + np.random.default_rng(4).normal(size=37)).astype(np.float32)
out["x"], out["y"] = x.astype(float).tolist(), y.astype(float).tolist()
out["q"] = [[q, float(np.quantile(x.astype(np.float64), q))] for q in (0, 0.05, 0.15, 0.5, 0.731, 1)]
out["r"] = float(np.corrcoef(x.astype(np.float64), y.astype(np.float64))[0, 1])
json.dump(out, open("losses.json", "w"))
