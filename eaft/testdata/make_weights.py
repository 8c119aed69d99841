"""Writes weights.json: the weights of other losses, in float64 by torch, from
the formulas of their papers. Each table has a column for each logprob, entropy
or loss in x.

    pip install torch==2.15.0
    python make_weights.py
"""
import json
import os

import torch

os.chdir(os.path.dirname(os.path.abspath(__file__)))
x = torch.tensor([0.0, 1e-9, 1e-3, 0.05, 0.4, 1.0, 2.5, 6.0, 11.0, 40.0, 110.0], dtype=torch.float64)
p = torch.exp(-x)
h = torch.linspace(0, 1, 11, dtype=torch.float64)
out = {"x": x.tolist(), "h": h.tolist(), "dft": p.tolist(), "focal": {}, "mile": {}, "talr": {}, "flow": {}, "gates": []}
for gamma in (0.5, 1.0, 2.0):
    out["focal"][gamma] = torch.pow(-torch.expm1(-x), gamma).tolist()
    out["mile"][gamma] = torch.pow(1 + x, gamma).tolist()
for tau in (0.1, 1.0, 3.7):
    out["talr"][tau] = torch.clamp(torch.pow(p, 1 / tau), min=0.01).tolist()
    out["flow"][tau] = torch.exp(-x / tau).tolist()
for name, a, b, w in (("linear", 0, 0, h), ("square", 0, 0, h**2), ("cube", 0, 0, h**3),
                      ("power", 0.5, 0, h**0.5), ("power", 1.7, 0, h**1.7),
                      ("sigmoid", 10, 0.5, torch.sigmoid(10 * (h - 0.5))), ("sigmoid", 4, 0.1, torch.sigmoid(4 * (h - 0.1)))):
    out["gates"].append({"name": name, "alpha": a, "beta": b, "weights": w.tolist()})
json.dump(out, open("weights.json", "w"))
