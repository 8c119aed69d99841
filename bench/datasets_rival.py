"""Chats to tokenized Parquet as one does it with Hugging Face datasets and a fast tokenizer, and the columns of tokens/1.

    python datasets_rival.py MODEL_DIR ROWS.jsonl OUT_DIR PROCESSES [BATCH]

Prints one line of JSON. Seconds are those of loading the JSON, map(batched=True, num_proc=PROCESSES) and writing one
Parquet file a process, as to_parquet does by default; imports and loading the tokenizer are in none of them. The cache is in OUT_DIR, which
must be empty: nothing is taken from an earlier run. For templates of the ChatML kind.
"""
import json
import os
import resource
import sys
import time

model, rows, out, processes = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
batch = int(sys.argv[5]) if len(sys.argv) > 5 else 1000
os.makedirs(out)
os.environ["HF_DATASETS_CACHE"] = os.path.join(out, "cache")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
import datasets
import numpy as np
import transformers

datasets.disable_progress_bars()
tok = transformers.AutoTokenizer.from_pretrained(model)
HEAD, ROLE, END = "<|im_start|>assistant\n", "<|im_start|>", "<|im_end|>"


def turns(text, messages):
    """Role and bytes (here: characters) of each turn; an assistant's through its end of turn, without its header."""
    at, spans = 0, []
    k = 0
    while (lo := text.find(ROLE, at)) >= 0:
        nl = text.index("\n", lo)
        role = text[lo + len(ROLE):nl]
        hi = text.index(END, nl) + len(END)
        spans.append((role, nl + 1 if role == "assistant" else lo, hi))
        at = hi
    if len(spans) > len(messages):  # the template's own system turn
        spans = spans[len(spans) - len(messages):]
    return spans


def encode(rows, index):
    texts = tok.apply_chat_template(rows["messages"], tokenize=False)
    enc = tok(texts, return_offsets_mapping=True, return_attention_mask=False, add_special_tokens=False)
    res = {k: [] for k in ("source", "row", "text", "input_ids", "labels", "token_start", "token_end", "spans")}
    for i, text in enumerate(texts):
        ids = np.asarray(enc["input_ids"][i], np.int32)
        off = np.asarray(enc["offset_mapping"][i], np.int32)
        labels = np.full_like(ids, -100)
        start, end = off[:, 0], off[:, 1]
        spans = []
        for turn, (role, lo, hi) in enumerate(turns(text, rows["messages"][i])):
            a, b = np.searchsorted(start, lo), np.searchsorted(start, hi)
            if role == "assistant":
                labels[a:b] = ids[a:b]
            spans.append({"role": role, "turn": turn, "start": int(a), "end": int(b)})
        res["source"].append(os.path.basename(globals()["rows"]))
        res["row"].append(index[i])
        res["text"].append(text)
        res["input_ids"].append(ids)
        res["labels"].append(labels)
        res["token_start"].append(start)
        res["token_end"].append(end)
        res["spans"].append(spans)
    return res


i32 = datasets.List(datasets.Value("int32"))
features = datasets.Features({
    "id": datasets.Value("string"), "source": datasets.Value("string"), "row": datasets.Value("int64"), "text": datasets.Value("string"),
    "input_ids": i32, "labels": i32, "token_start": i32, "token_end": i32,
    "spans": datasets.List({k: datasets.Value(t) for k, t in (("role", "string"), ("turn", "int32"), ("start", "int32"), ("end", "int32"))}),
})
clock = [time.perf_counter()]
ds = datasets.load_dataset("json", data_files=rows, split="train")
clock.append(time.perf_counter())
ds = ds.map(encode, batched=True, batch_size=batch, num_proc=processes, with_indices=True, remove_columns=["messages"], features=features)
clock.append(time.perf_counter())
for i in range(processes):
    ds.shard(processes, i, contiguous=True).to_parquet(os.path.join(out, f"part-{i}.parquet"))
clock.append(time.perf_counter())
tokens = sum(len(x) for x in ds.with_format("numpy")["input_ids"]) if len(ds) < 200_000 else None
size = sum(os.path.getsize(os.path.join(out, n)) for n in os.listdir(out) if n.endswith(".parquet"))
load, mapped, written = (b - a for a, b in zip(clock, clock[1:]))
print(json.dumps({"rows": len(ds), "tokens": tokens, "load_s": round(load, 2), "map_s": round(mapped, 2), "write_s": round(written, 2),
                  "total_s": round(clock[-1] - clock[0], 2), "parquet_bytes": size,
                  "rss_mb_parent": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                  "rss_mb_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024}))
