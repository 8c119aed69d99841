"""The same work in PyTorch and transformers, on the CPU.

    python torch_rival.py WORK MODEL_DIR ROWS.jsonl BATCH_TOKENS THREADS STEP_TOKENS all|asked bf16|f32

WORK is score-all, score-trained or train. ROWS.jsonl has input_ids and labels (-100: not trained), so that no
tokenizer is in the way. Rows are sorted by length, so that little padding is computed, and a batch takes at most
BATCH_TOKENS, padding included. With "asked" the head runs on the positions that are scored or trained, as frugally as a few lines
allow; with "all" on every position, as the trainers in use and a model's forward() do.

score: log-probability of the target, entropy of the top 20 and of all.
train: EAFT (weight: entropy of the top 20 / ln 20, detached), float32 masters, with bf16 under autocast, AdamW, clipping at 1,
one optimizer step per STEP_TOKENS, the sum over its batches divided by the step's targets.

Prints one line of JSON. Seconds exclude imports, loading the model, reading the rows and a first batch, run once
before the clock starts, in which PyTorch compiles and allocates.
"""
import json
import math
import os
import sys
import time

work, model_dir, path, batch, threads, step, head, dtype = sys.argv[1:9]
os.environ["OMP_NUM_THREADS"] = threads
import torch
import torch.nn.functional as F
import transformers

torch.manual_seed(0)
torch.set_num_threads(int(threads))
rows = [json.loads(line) for line in open(path)]
rows.sort(key=lambda r: len(r["input_ids"]))
train, half = work == "train", dtype == "bf16"
model = transformers.AutoModelForCausalLM.from_pretrained(
    model_dir, dtype=torch.bfloat16 if half and not train else torch.float32, attn_implementation="sdpa")


def batches(rows):
    out, cur = [], []
    for r in rows:
        if cur and (len(cur) + 1) * len(r["input_ids"]) > int(batch):
            out.append(cur)
            cur = []
        cur.append(r)
    return out + [cur]


def steps(rows):
    out, cur, n = [], [], 0
    for r in rows:
        if cur and n + len(r["input_ids"]) > int(step):
            out.append(cur)
            cur, n = [], 0
        cur.append(r)
        n += len(r["input_ids"])
    return out + [cur]


def pad(b):
    """ids, attention mask, and for each position whether its next token exists and whether it is trained."""
    n = max(len(r["input_ids"]) for r in b)
    ids = torch.zeros((len(b), n), dtype=torch.long)
    mask, trained = torch.zeros_like(ids), torch.zeros((len(b), n), dtype=torch.bool)
    for i, r in enumerate(b):
        m = len(r["input_ids"])
        ids[i, :m] = torch.tensor(r["input_ids"])
        mask[i, :m] = 1
        trained[i, : m - 1] = torch.tensor(r["labels"][1:]) != -100
    exists = torch.zeros_like(trained)
    exists[:, :-1] = mask[:, 1:].bool()
    return ids, mask, exists, trained


def logits(ids, mask, at):
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    y = ids.roll(-1, 1)
    if head == "all":
        x = model.lm_head(hidden).float()
        return (x.flatten(0, 1), y.flatten(), at.flatten()) if work == "score-trained" else (x[at], y[at], None)
    return model.lm_head(hidden[at]).float(), y[at], None


def score(rows):
    total, n = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for b in batches(rows):
            ids, mask, exists, trained = pad(b)
            at = trained if work == "score-trained" else exists
            x, y, full = logits(ids, mask, at)
            lp = torch.log_softmax(x, -1)
            target = lp.gather(-1, y[:, None])[:, 0]
            q = torch.log_softmax(x.topk(20, -1)[0], -1)
            -(q.exp() * q).sum(-1), -(lp.exp() * lp).sum(-1)
            total += target[trained[at] if full is None else full].sum().item()
            n += int(trained.sum())
    return total / n


def fit(rows, lr):
    model.train()
    opt = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    total, n = 0.0, 0
    for s in steps(rows):
        targets = sum(y != -100 for r in s for y in r["labels"][1:])
        for b in batches(s):
            ids, mask, _, trained = pad(b)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                x, y, _ = logits(ids, mask, trained)
            ce = F.cross_entropy(x, y, reduction="none")
            with torch.no_grad():
                q = torch.log_softmax(x.topk(20, -1)[0], -1)
                w = -(q.exp() * q).sum(-1) / math.log(20)
            ((ce * w).sum() / targets).backward()
            total -= ce.sum().item()
            n += len(y)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
    return total / n


def run(rows, lr):
    return fit(rows, lr) if train else score(rows)


run(batches(rows)[-1], 0.0)  # a learning rate of 0 changes nothing
began = time.time()
mean = run(rows, 1e-5)
seconds = time.time() - began
tokens = sum(len(r["input_ids"]) for r in rows)
print(json.dumps({"tokens": tokens, "seconds": seconds, "mean_logprob": mean,
                  "versions": {"PyTorch": torch.__version__, "transformers": transformers.__version__}}))
