"""Writes the foreign Parquet fixtures of this folder.

Pinned: pyarrow 26.0.1, duckdb 2.0.0, polars 2.1.0. Run: python parquet/testdata/make_fixtures.py
Every good_*.parquet holds the same three rows: ids "7", "8", "9" (as strings or
integers), input_ids [5, 6, 7], [], [40000, 5], labels [-100, 6, 7], [], [-100, 5].
"""
import os
import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

os.chdir(os.path.dirname(os.path.abspath(__file__)))
IDS, LABELS = [[5, 6, 7], [], [40000, 5]], [[-100, 6, 7], [], [-100, 5]]


def table(elem, list_type=pa.list_, row_id=pa.string(), ids=IDS, labels=LABELS, names=(7, 8, 9), **more):
    conv = str if pa.types.is_string(row_id) or pa.types.is_large_string(row_id) else int
    cols = {
        "id": pa.array([None if n is None else conv(n) for n in names], row_id),
        "input_ids": pa.array(ids, list_type(elem)),
        "labels": pa.array(labels, list_type(elem)),
    }
    return pa.table(cols | more)


good = {
    "int32_snappy_v1": (table(pa.int32()), dict(compression="snappy")),
    "int64_zstd_v2": (table(pa.int64(), row_id=pa.int64()), dict(compression="zstd", data_page_version="2.0")),
    "large_list_gzip": (table(pa.int64(), pa.large_list, pa.large_string()), dict(compression="gzip")),
    "plain_item_v2": (table(pa.int32(), row_id=pa.int32()), dict(compression="none", use_dictionary=False,
                      use_compliant_nested_type=False, data_page_version="2.0")),
    "delta": (table(pa.int64()), dict(use_dictionary=False, column_encoding={
        "input_ids.list.element": "DELTA_BINARY_PACKED", "labels.list.element": "DELTA_BINARY_PACKED"})),
    "groups": (table(pa.int32()), dict(row_group_size=1)),
    "uint32": (pa.table({"id": ["7", "8", "9"], "input_ids": pa.array(IDS, pa.list_(pa.uint32())),
                         "labels": pa.array(LABELS, pa.list_(pa.int16()))}), {}),
    "dictionary_id": (table(pa.int32()).set_column(0, "id", pa.array(["7", "8", "9"]).dictionary_encode()), {}),
}
for name, (t, opts) in good.items():
    pq.write_table(t, f"good_{name}.parquet", **opts)

con = duckdb.connect()
src = table(pa.int32())
con.register("src", src)
for codec in ("snappy", "zstd", "uncompressed"):
    con.execute(f"COPY src TO 'good_duckdb_{codec}.parquet' (FORMAT parquet, COMPRESSION {codec})")

polars.from_arrow(src).write_parquet('good_polars.parquet')

span = pa.struct([("role", pa.string()), ("turn", pa.int64()), ("start", pa.int32()), ("end", pa.int32())])
spans = pa.array([[dict(role="user", turn=0, start=0, end=1), dict(role="assistant", turn=1, start=1, end=3)], [], None],
                 pa.list_(span))
pq.write_table(table(pa.int32(), spans=spans, token_start=pa.array([None] * 3, pa.list_(pa.int32())),
                     token_end=pa.array([None] * 3, pa.list_(pa.int32()))), "spans_pyarrow.parquet")
con.register("sp", table(pa.int32(), spans=spans))
con.execute("COPY sp TO 'spans_duckdb.parquet' (FORMAT parquet)")

# Rows of 3,000 tokens whose pages end inside a row.
big = [[(r * 7 + i * 13) % 997 for i in range(3000)] for r in range(4)]
pq.write_table(table(pa.int32(), ids=big, labels=big, names=(0, 1, 2, 3)), "pages.parquet",
               data_page_size=256, write_batch_size=64, compression="zstd")

bad = {
    "null_id": table(pa.int32(), names=(7, None, 9)),
    "null_list": table(pa.int32(), ids=[[5, 6, 7], None, [40000, 5]]),
    "null_element": table(pa.int32(), ids=[[5, 6, 7], [], [40000, None]]),
    "missing_labels": table(pa.int32()).drop(["labels"]),
    "float_ids": table(pa.float32()),
    "too_large": table(pa.int64(), ids=[[5, 6, 7], [], [1 << 40, 5]]),
    "scalar_ids": table(pa.int32()).set_column(1, "input_ids", pa.array([1, 2, 3])),
    "nested": table(pa.list_(pa.int32()), ids=[[[5]], [], []], labels=[[[5]], [], []]),
    "lengths": table(pa.int32(), labels=[[-100, 6], [], [-100, 5]]),
}
for name, t in bad.items():
    pq.write_table(t, f"bad_{name}.parquet")
