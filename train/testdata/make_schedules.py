"""The learning rates of transformers' schedules, the oracle of schedule_test.go.

    pip install torch==2.15.0 transformers==5.23.0
    python make_schedules.py

Writes schedules.json: [{schedule, steps, warmup, decay, min_lr, rates}], where
warmup and decay are numbers of steps and rates, of a peak of 1, are those of
steps 0 to steps-1 by LambdaLR's count: a warm-up step i has i/warmup.
"""
import json, os

import torch
import transformers as t

HERE = os.path.dirname(os.path.abspath(__file__))


def schedule(kind, opt, n, w, d, low):
    if kind == "constant":
        return t.get_constant_schedule_with_warmup(opt, w)
    if kind == "linear":
        return t.get_linear_schedule_with_warmup(opt, w, n)
    if kind == "cosine":
        return t.get_cosine_with_min_lr_schedule_with_warmup(opt, w, n, min_lr_rate=low)
    return t.get_wsd_schedule(opt, w, d, num_training_steps=n, decay_type="linear", min_lr_ratio=low)


def main():
    out = []
    for kind, lows in (("constant", [0.0]), ("linear", [0.0]), ("cosine", [0.0, 0.1]), ("wsd", [0.0, 0.25])):
        for n, w, d in ((10, 3, 2), (100, 0, 20), (37, 4, 33), (5, 5, 0)):
            for low in lows:
                opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
                s = schedule(kind, opt, n, w, d, low)
                rates = []
                for _ in range(n):
                    rates.append(s.get_last_lr()[0])
                    opt.step()
                    s.step()
                out.append(dict(schedule=kind, steps=n, warmup=w, decay=d, min_lr=low, rates=rates))
    with open(os.path.join(HERE, "schedules.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


main()
