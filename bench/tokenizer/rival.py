"""Hugging Face's tokenizers on the documents of ./main.go: argv is a tokenizer.json and
a text; ids and offsets, document by document or in batches, whichever is faster."""
import json, sys, time

import tokenizers

PASSES, DOCUMENT = 5, 4096
data = open(sys.argv[2], "rb").read()
docs, i = [], 0
while len(data) - i > DOCUMENT:
    n = i + DOCUMENT
    while data[n] & 0xC0 == 0x80:
        n -= 1
    docs.append(data[i:n].decode())
    i = n
docs.append(data[i:].decode())


def one(t):
    n = 0
    for s in docs:
        e = t.encode(s, add_special_tokens=False)
        n += len(e.ids)
        e.offsets
    return n


def batch(t):
    n = 0
    for k in range(0, len(docs), 64):
        for e in t.encode_batch(docs[k:k + 64], add_special_tokens=False):
            n += len(e.ids)
            e.offsets
    return n


load, encode, tokens = [], [], 0
for _ in range(PASSES):
    begin = time.perf_counter()
    t = tokenizers.Tokenizer.from_file(sys.argv[1])
    load.append(time.perf_counter() - begin)
    for f in (one, batch):
        begin = time.perf_counter()
        tokens = f(t)
        encode.append(time.perf_counter() - begin)
print(json.dumps({"load": min(load), "encode": min(encode), "tokens": tokens, "version": tokenizers.__version__}))
