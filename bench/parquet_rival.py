"""Writes a shard of tokens/1 again with pyarrow, on one thread and with zstd, under several choices of encodings.

    python parquet_rival.py SHARD OUT.parquet [ROUNDS]

Prints seconds, CPU seconds and bytes; reading the shard is in none of them.
"""
import os
import resource
import sys
import time

import pyarrow
import pyarrow.parquet as pq

shard, out, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3
pyarrow.set_cpu_count(1)
table = pq.read_table(shard, use_threads=False).combine_chunks()
elements = lambda *names: [f"{n}.list.element" for n in names]
ids = elements("input_ids", "labels")
delta = {c: "DELTA_BINARY_PACKED" for c in elements("token_start", "token_end")}
split = {c: "BYTE_STREAM_SPLIT" for c in ids}
lengths = {c: "DELTA_LENGTH_BYTE_ARRAY" for c in ("id", "text")}
names = ["source", "spans.list.element.role"]
choices = {
    "its own": {},
    "delta-encoded offsets": {"column_encoding": delta, "use_dictionary": names},
    "delta-encoded offsets, dictionaries of ids": {"column_encoding": delta, "use_dictionary": names + ids},
    "ours": {"column_encoding": {**delta, **split, **lengths}, "use_dictionary": names},
}


def cpu():
    r = resource.getrusage(resource.RUSAGE_SELF)
    return r.ru_utime + r.ru_stime


for _ in range(rounds):
    for name, options in choices.items():
        wall, busy = time.perf_counter(), cpu()
        pq.write_table(table, out, compression="zstd", **options)
        print(f"{name:44s} {time.perf_counter() - wall:.2f} s, {cpu() - busy:.2f} CPU s, {os.path.getsize(out) / 1e6:.1f} MB")
