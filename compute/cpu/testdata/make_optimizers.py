"""Oracles of optimizer_test.go.

    pip install torch==2.15.0 transformers==5.23.0 bitsandbytes==0.50.2
    python make_optimizers.py

Writes optimizers.json:

    blocks     [{signed, table, x, codes, scales}]   bitsandbytes' dynamic map, and for
               x in blocks of 256 the scales and the nearest entries of x/scale
               (bitsandbytes 0.50.2's own search on a CPU misses small ones)
    adafactor  [{rows, cols, weight_decay, lr, start, grads, after}]   parameters in
               float64 after each of the steps that transformers.Adafactor takes
               with the gradients; a vector has rows 0
"""
import json, os

import bitsandbytes.functional as bnb
import torch
from transformers import Adafactor

HERE = os.path.dirname(os.path.abspath(__file__))


def blocks(signed, g):
    table = bnb.create_dynamic_map(signed)
    x = 10 ** (-9 * torch.rand(700, generator=g)) * torch.randn(700, generator=g)
    x[7], x[300:310] = 0, 0
    x[600:] *= 1e-3
    if not signed:
        x = x.abs()
    scales, codes = [], []
    for block in x.split(256):
        s = block.abs().max()
        scales.append(s.item())
        codes += ((block / s).double()[:, None] - table.double()).abs().argmin(-1).tolist()
    return dict(signed=signed, table=table.tolist(), x=x.tolist(), codes=codes, scales=scales)


def adafactor(rows, cols, decay, g):
    shape = (rows, cols) if rows else (cols,)
    p = torch.nn.Parameter(torch.randn(shape, generator=g).float().double())
    opt = Adafactor([p], lr=0.01, scale_parameter=False, relative_step=False, weight_decay=decay)
    out = dict(rows=rows, cols=cols, weight_decay=decay, lr=0.01, start=p.flatten().tolist(), grads=[], after=[])
    for s in range(6):
        p.grad = (torch.randn(shape, generator=g) * 10.0 ** (s - 3)).float().double()
        if s == 2:
            p.grad.flatten()[: cols // 2] = 0
        out["grads"].append(p.grad.flatten().tolist())
        opt.step()
        out["after"].append(p.flatten().tolist())
    return out


def main():
    g = torch.Generator().manual_seed(3)
    out = dict(blocks=[blocks(s, g) for s in (True, False)],
               adafactor=[adafactor(*c, g) for c in ((5, 7, 0.0), (0, 9, 0.0), (70, 3, 0.1), (1, 6, 0.0), (6, 1, 0.0))])
    with open(os.path.join(HERE, "optimizers.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


main()
