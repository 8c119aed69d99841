"""Reads t.arrow, t.jsonl and t.csv of a folder by pyarrow, polars and DuckDB -> JSON."""
import json, sys
import duckdb, polars, pyarrow as pa

dir = sys.argv[1]
frame = table = pa.ipc.open_stream(open(dir + "/t.arrow", "rb")).read_all()
assert table.schema.field("h").type == pa.float32() and table.schema.field("row").type == pa.int64() and table.schema.field("text").type == pa.string()
out = {}
say = lambda name, rows, conflicts, lp: out.__setitem__(name, dict(rows=rows, conflicts=conflicts, logprob=lp))
say("pyarrow", table.num_rows, sum(table["conflict"].to_pylist()), sum(table["logprob"].to_pylist()) / table.num_rows)
for name, f in (("polars", polars.read_ipc_stream(dir + "/t.arrow")), ("jsonl", polars.read_ndjson(dir + "/t.jsonl")), ("csv", polars.read_csv(dir + "/t.csv"))):
    say(name, f.height, int(f["conflict"].sum()), float(f["logprob"].cast(polars.Float64).mean()))
rows, conflicts, lp = duckdb.sql("select count(*), count(*) filter (conflict), avg(logprob::double) from frame").fetchall()[0]
say("duckdb", rows, conflicts, lp)
json.dump(out, sys.stdout)
