"""What a report must say, by DuckDB: oracle.py SCORES TOKENS K QUANTILE MIN_MASS -> JSON.

duckdb 1.x; renormalised gate entropy, trained targets only.
"""
import json, math, sys
import duckdb

scores, tokens, k, q, mass = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
db = duckdb.connect()
db.execute(f"""
create table t as
with s as (select id, unnest(pos) pos, unnest(logprob)::double lp, unnest(entropy)::double e,
           unnest(topk_entropy)::double te, unnest(topk_mass)::double mass
           from read_parquet('{scores}/*.parquet'))
select exp(lp) p, te / {math.log(k)!r} h, lp, e, te, mass
from s join read_parquet('{tokens}/*.parquet') t using (id)
where t.labels[pos + 1] <> -100""")
rows = db.execute(f"select count(*) from read_parquet('{scores}/*.parquet')").fetchone()[0]
n, lp, h, c, m, cp, ch = db.execute(f"""select count(*), avg(lp), avg(h), corr(te, e), avg(mass),
    quantile_cont(p, {q}), quantile_cont(h, {q}) from t""").fetchone()
conflicts = db.execute(f"select count(*) from t where p <= {cp!r} and h <= {ch!r} and mass >= {mass}").fetchone()[0]
json.dump(dict(rows=rows, targets=n, mean_logprob=lp, mean_h=h, topk_full_correlation=c, mean_topk_mass=m,
               prob=cp, h=ch, conflicts=conflicts), sys.stdout)
