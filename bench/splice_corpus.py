"""Writes a corpus of chats of any size whose rows do not repeat: sentences of real corpora, put together anew.

    python splice_corpus.py DATA_DIR OUT.jsonl MEGABYTES [SEED]

DATA_DIR has text files (.txt), JSON and JSON Lines below it; every text in them gives sentences. A row is a system
turn now and then, and one to three pairs of a question of 1 to 4 sentences and an answer of 3 to 20.
"""
import json
import os
import random
import re
import sys

data, out, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)


def texts(v):
    if isinstance(v, str):
        yield v
    elif isinstance(v, list):
        for e in v:
            yield from texts(e)
    elif isinstance(v, dict):
        for e in v.values():
            yield from texts(e)


pool = {}
for folder, folders, files in os.walk(data):
    folders.sort()
    for name in sorted(files):
        path = os.path.join(folder, name)
        if name.endswith(".txt"):
            found = [open(path, encoding="utf-8").read()]
        elif name.endswith(".jsonl"):
            found = texts([json.loads(line) for line in open(path, encoding="utf-8") if line.strip()])
        elif name.endswith(".json"):
            found = texts(json.load(open(path, encoding="utf-8")))
        else:
            continue
        for text in found:
            for s in re.split(r"(?<=[.!?])\s+|\n{2,}", text):
                if 20 <= len(s) <= 2000:
                    pool[s] = None
pool = list(pool)
size, n = 0, 0
with open(out, "w", encoding="utf-8") as f:
    while size < megabytes * 1_000_000:
        pick = lambda lo, hi: " ".join(rng.choices(pool, k=rng.randint(lo, hi)))
        messages = [{"role": "system", "content": pick(1, 2)}] if rng.random() < 0.2 else []
        for _ in range(rng.randint(1, 3)):
            messages += [{"role": "user", "content": pick(1, 4)}, {"role": "assistant", "content": pick(3, 20)}]
        line = json.dumps({"id": f"r{n}", "messages": messages}, ensure_ascii=False) + "\n"
        f.write(line)
        size += len(line.encode())
        n += 1
print(f"{n} rows, {size} bytes, {len(pool)} sentences")
