"""Reads a shard of ours with other libraries and compares it with JSON lines.

Usage: read_ours.py LIBRARY SHARD EXPECTED.jsonl (pyarrow, duckdb, polars, datasets).
Exits 0 and prints the types when every value is equal, 3 when LIBRARY is not installed.
"""
import importlib.util
import json
import struct
import sys

lib, shard, expected = sys.argv[1:]
if importlib.util.find_spec(lib) is None:
    sys.exit(3)
want = [json.loads(line) for line in open(expected)]
if lib == "pyarrow":
    import pyarrow.parquet as pq
    table = pq.read_table(shard)
    rows, types = table.to_pylist(), {f.name: str(f.type) for f in table.schema}
elif lib == "duckdb":
    import duckdb
    rel = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [shard])
    types = {d[0]: str(d[1]) for d in rel.description}
    names = list(types)
    rows = [dict(zip(names, r)) for r in rel.fetchall()]
elif lib == "polars":
    import polars
    frame = polars.read_parquet(shard)
    rows, types = frame.to_dicts(), {k: str(v) for k, v in frame.schema.items()}
else:
    import datasets
    data = datasets.Dataset.from_parquet(shard, cache_dir=sys.argv[3] + ".cache")
    rows, types = list(data), {k: str(v) for k, v in data.features.items()}


def bits(v):
    """Floats as the bits of float32: values travel unrounded."""
    if isinstance(v, float):
        return struct.pack("<f", v).hex()
    if isinstance(v, list):
        return [bits(e) for e in v]
    if isinstance(v, dict):
        return {k: bits(e) for k, e in v.items()}
    return v


assert len(rows) == len(want), (len(rows), len(want))
for i, (got, w) in enumerate(zip(rows, want)):
    for k in w:
        exp = w[k]
        if isinstance(exp, dict):
            exp = exp["hex"]
        assert bits(got[k]) == exp, (i, k, got[k], exp)
    assert set(got) == set(w), (sorted(got), sorted(w))
print(json.dumps(types))
