"""llama.cpp (llama-cpp-python) evaluating the same rows with logits for every position; no entropies, no ranks.

    python llama_rival.py GGUF ROWS.jsonl THREADS

Prints one line of JSON; seconds exclude loading. Exits with 3 where the module is not installed.
"""
import json
import sys
import time

try:
    import llama_cpp
except ImportError:
    sys.exit(3)

gguf, path, threads = sys.argv[1:4]
rows = [json.loads(line)["input_ids"] for line in open(path)]
m = llama_cpp.Llama(gguf, n_ctx=max(map(len, rows)) + 8, n_batch=512, n_threads=int(threads), n_threads_batch=int(threads),
                    logits_all=True, verbose=False)
began = time.time()
for ids in rows:
    m.reset()
    m.eval(ids)
print(json.dumps({"tokens": sum(map(len, rows)), "seconds": time.time() - began,
                  "versions": {"llama-cpp-python": llama_cpp.__version__}}))
