"""Writes records/*.parquet and, beside each, *.jsonl: the rows as records must give them.

    python make_records.py          needs pyarrow, polars and duckdb
"""
import json
import os

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "records"))


def without_nulls(v):
    if isinstance(v, dict):
        return {k: without_nulls(e) for k, e in v.items() if e is not None}
    if isinstance(v, list):
        return [without_nulls(e) for e in v]
    return v


def expect(name, rows):
    with open(name + ".jsonl", "w") as f:
        for r in rows:
            f.write(json.dumps(without_nulls(r), ensure_ascii=False) + "\n")


def call(name, args):
    return {"type": "function", "function": {"name": name, "arguments": args}}


chats = [
    {"id": 1, "messages": [{"role": "user", "content": "Hi \"you\"\n\t\\", "tool_calls": None},
                           {"role": "assistant", "content": None, "tool_calls": [call("f", "{}"), call("g", "{\"a\": 1}")]}], "tags": ["a", None, "b"]},
    {"id": 2, "messages": [], "tags": []},
    {"id": None, "messages": None, "tags": None},
    {"id": 4, "messages": [{"role": "user", "content": "\U0001F600é", "tool_calls": []}], "tags": [None]},
]
fn = pa.struct([("type", pa.string()), ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())]))])
message = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(fn))])
schema = pa.schema([("id", pa.int64()), ("messages", pa.list_(message)), ("tags", pa.list_(pa.string()))])
table = pa.Table.from_pylist(chats, schema)
for name, options in {
    "pyarrow": {}, "pyarrow_groups": {"row_group_size": 1}, "pyarrow_v2_plain": {"data_page_version": "2.0", "use_dictionary": False, "compression": "zstd"},
    "pyarrow_item_names": {"use_compliant_nested_type": False},
}.items():
    pq.write_table(table, name + ".parquet", **options)
    expect(name, chats)
pl.DataFrame(table).write_parquet("polars.parquet")
expect("polars", chats)
duckdb.from_arrow(table).write_parquet("duckdb.parquet")
expect("duckdb", chats)

kinds = [{"b": True, "i": -5, "u": 4294967295, "u64": 18446744073709551615, "f": 0.5, "d": 1e-300, "m": [("k", 1), ("l\"", None)], "ll": [[1, 2], [], [3]], "s": {"x": {"y": "z"}}},
         {"b": None, "i": None, "u": None, "u64": None, "f": None, "d": None, "m": [], "ll": [], "s": None}]
table = pa.Table.from_pylist(kinds, pa.schema([
    ("b", pa.bool_()), ("i", pa.int8()), ("u", pa.uint32()), ("u64", pa.uint64()), ("f", pa.float32()), ("d", pa.float64()),
    ("m", pa.map_(pa.string(), pa.int32())), ("ll", pa.list_(pa.list_(pa.int32()))), ("s", pa.struct([("x", pa.struct([("y", pa.string())]))]))]))
pq.write_table(table, "kinds.parquet")
kinds[0]["m"] = {"k": 1, "l\"": "null"}
kinds[1]["m"] = {}
with open("kinds.jsonl", "w") as f:
    for r in kinds:
        f.write(json.dumps(without_nulls(r)).replace('"null"', "null") + "\n")
