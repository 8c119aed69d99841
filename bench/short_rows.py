"""Writes rows of short text that do not repeat: their number, and words of real corpora in any order.

    python short_rows.py DATA_DIR OUT.jsonl ROWS [SEED]

DATA_DIR has text files (.txt) below it, whose words are drawn as often as they stand there. A row is {"text": ...} of
4 to 16 words.
"""
import json
import os
import random
import sys

data, out, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
words = []
for folder, folders, files in os.walk(data):
    folders.sort()
    for name in sorted(files):
        if name.endswith(".txt"):
            words += open(os.path.join(folder, name), encoding="utf-8").read().split()
if not words:
    sys.exit(f"{data}: no .txt file with words below it")
with open(out, "w", encoding="utf-8") as f:
    for n in range(rows):
        f.write(json.dumps({"text": f"{n} " + " ".join(rng.choices(words, k=4 + n % 13))}, ensure_ascii=False) + "\n")
