"""Computes every number of a report again, by DuckDB and numpy, from the Parquet files alone.

oracle.py SCORES TOKENS REPORT.json [CALIBRATION]: says what differs; exit code 1 if anything does.
Written against duckdb 1.5, numpy 2.5. Reads byte-level vocabularies (tokenizer.json).
"""
import glob, json, math, os, sys, unicodedata
import duckdb
import numpy as np

scores, tokens, path = sys.argv[1:4]
R = json.load(open(path))
bad, checked = [], 0


def check(name, got, want, rel=1e-6):
    global checked
    checked += 1
    if want is not None and isinstance(want, float) and not math.isfinite(want):
        want = None
    if got is None or want is None:
        ok = got is None and want is None
    elif isinstance(want, (str, list, bool)):
        ok = got == want
    else:
        ok = abs(got - want) <= rel * max(1, abs(want)) if rel else got == want
    if not ok:
        bad.append(f"{name}: the report has {got!r}, here it is {want!r}")


def shards(dir):
    return [os.path.join(dir, s["name"]) for s in json.load(open(os.path.join(dir, "_manifest.json")))["shards"]]


manifest = json.load(open(os.path.join(scores, "_manifest.json")))
K, cuts = manifest["k"], R["cuts"]
db = duckdb.connect()
db.execute("set preserve_insertion_order = true")
db.execute(f"create table s as select row_number() over () - 1 as row, * from read_parquet({shards(scores)!r})")
db.execute(f"create table k as select row_number() over () - 1 as row, * from read_parquet({shards(tokens)!r})")
h = {"renorm": f"te / {math.log(K)!r}", "full": f"e / {math.log(K)!r}", "trunc": f"m * (te - ln(m)) / {math.log(K)!r}"}[cuts["estimator"]]
db.execute(f"""
create table t as
with u as (select row, id, unnest(pos) pos, unnest(token) token, unnest(logprob)::double lp, unnest(entropy)::double e, unnest(topk_entropy)::double te,
                  unnest(topk_mass)::double m, unnest(top1_logprob)::double t1, unnest("rank") as "rank", unnest(top1_id) top from s)
select u.*, exp(lp)::float::double p, least(1, greatest(0, {h}))::float::double h, k.source, k.input_ids[pos] prev,
       k.input_ids[greatest(1, pos - 7):pos] before,
       len(k.spans) > 0 spanned, list_filter(k.spans, lambda x: x.start <= pos and pos < x['end'])[1] span,
       pos - row_number() over (partition by u.row order by pos) island
from u join k on u.row = k.row where k.labels[pos + 1] <> -100""")
one = lambda q: db.execute(q).fetchone()

# Cuts, then what is a conflict.
quantile = cuts["thresholds"].startswith("q=")
n = one("select count(*) from t")[0]
if quantile and n:
    q = float(cuts["thresholds"][2:])
    p_cut, h_cut = one(f"select quantile_cont(p, {q}), quantile_cont(h, {q}) from t")
    check("cuts.prob", cuts["prob"], p_cut, 1e-12)
    check("cuts.h", cuts["h"], h_cut, 1e-12)
conflict = lambda p, h: f"(p <= {p!r} and h <= {h!r} and m >= {cuts['min_mass']!r})"

# The vocabulary.
vocabulary, special = {}, set()
for dir in (scores, tokens):
    f = os.path.join(dir, "_tokenizer.json")
    if os.path.exists(f) and not vocabulary:
        tj = json.load(open(f))
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        byte = {chr(b): b for b in printable}
        byte.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
        for text, id in tj["model"]["vocab"].items():
            vocabulary[id] = bytes(byte[c] for c in text)
        for a in tj["added_tokens"]:
            vocabulary[a["id"]] = a["content"].encode()
            if a["special"]:
                special.add(a["id"])

space = lambda c: c in "\t\n\v\f\r\x85" or unicodedata.category(c)[0] == "Z"


def token(id):
    """kind, begins with white space, a word may go on after it, text without white space"""
    b = vocabulary.get(id)
    if b is None:
        return "unknown", False, False, ""
    s = b.decode(errors="surrogateescape")
    if id in special:
        return "special", False, False, s
    lo, hi = 0, len(s)
    while lo < hi and space(s[lo]):
        lo += 1
    while hi > lo and space(s[hi - 1]):
        hi -= 1
    text = s[lo:hi]
    if not text:
        return "space", False, False, ""
    if any(0xDC80 <= ord(c) <= 0xDCFF for c in text):
        return "bytes", False, True, text
    cats = {unicodedata.category(c)[0] for c in text}
    kind = "word" if cats & {"L", "M"} else "digit" if "N" in cats else "markup" if set(text) & set("<>{}[]()|\\/=*#_~^@&$%+`") else "punct"
    return kind, lo > 0, unicodedata.category(s[-1])[0] in "LMN", text


ids = sorted({x for r in db.execute("select token, prev, top from t").fetchall() for x in r})
T = {i: token(i) for i in ids}
cls = {"special": "markup", "markup": "markup", "space": "whitespace", "digit": "digit", "punct": "punctuation", "bytes": "word_inside", "unknown": "unknown"}


def class_of(given, prev):
    kind, start, _, _ = T[given]
    if kind != "word":
        return cls[kind]
    return "word_start" if start or not T[prev][2] else "word_inside"


def one_edit(a, b):
    a, b = sorted((a.lower(), b.lower()), key=len)
    if len(a) < 5 or a[0] != b[0]:
        return False
    if len(a) + 1 == len(b):
        return any(b[:i] + b[i + 1:] == a for i in range(len(b)))
    return len(a) == len(b) and a != b and any(a[:i] + a[i + 1] + a[i] + a[i + 2:] == b for i in range(len(a) - 1))


def why(given, top, outside):
    (gk, _, _, g), (ek, _, _, e) = T[given], T[top]
    kinds = {gk, ek}
    if outside or kinds & {"special", "markup", "punct"}:
        return "format"
    if "unknown" in kinds:
        return "unknown"
    if g.startswith(e) or e.startswith(g):
        return "variant" if g == e else "tokenization"
    if "space" in kinds:
        return "format"
    if g.casefold() == e.casefold():
        return "variant"
    if kinds == {"digit"}:
        return "number"
    return "variant" if kinds == {"word"} and one_edit(g, e) else "content"


# Targets in numpy, in order.
cols = ["row", "pos", "token", "lp", "e", "te", "m", "t1", "rank", "top", "p", "h", "prev"]
A = db.execute(f"select {', '.join(chr(34) + c + chr(34) for c in cols)}, source, span.role as role, span.turn as turn, island, spanned from t order by row, pos").fetchnumpy()
row, p, hh, m, lp = A["row"], A["p"], A["h"], A["m"], A["lp"]
flag = (p <= (cuts["prob"] if cuts["prob"] is not None else -1)) & (hh <= (cuts["h"] if cuts["h"] is not None else -1)) & (m >= cuts["min_mass"])
rows = one("select count(*) from s")[0]
mean = lambda x: float(np.mean(x)) if len(x) else None
frac = lambda a, b: float(a) / float(b) if b else None
C = int(flag.sum())
for name, want in dict(rows=rows, targets=n, conflicts=C, conflict_rows=len(set(row[flag].tolist())), k=K).items():
    check(name, R[name], want, 0)
corr = one("select corr(te, e) from t")[0]
for name, want in dict(mean_logprob=mean(lp), mean_h=mean(hh), topk_full_correlation=corr, mean_topk_mass=mean(m), conflict_rate=frac(C, n), conflict_loss=float(-lp[flag].sum()),
                       loss=float(-lp.sum()), sure_share=frac((hh < np.float32(0.01)).sum(), n), flat_share=frac((m < 0.9).sum(), n)).items():
    check(name, R[name], want)

classes = np.array([class_of(g, v) for g, v in zip(A["token"].tolist(), A["prev"].tolist())]) if vocabulary else None
if vocabulary and n:
    check("markup_share", R["markup_share"], frac((1 - hh)[classes == "markup"].sum(), (1 - hh).sum()))
for name, x in (("prob", p), ("h", hh)):
    ordered = np.sort(x)
    for q in R["quantiles"][name]:
        want = float(ordered[int(q["q"] * (n - 1))]) if n else None
        if want is None:
            check("quantile", q["value"], None)
        elif want > 2e-38:
            check(f"quantiles.{name}.{q['q']}", q["value"] / want, 1.0, 1 / 256)

# The plane.
P = R["plane"]
for edges, cut in ((P["prob_edges"], cuts["prob"]), (P["h_edges"], cuts["h"])):
    check("edges ascend", edges == sorted(set(edges)) and edges[0] == 0 and edges[-1] == 1, True)
    if n and 0 < cut < 1:
        check("the cut is an edge", cut in edges, True)
cell = lambda edges, x: np.clip(np.searchsorted(edges, x, side="left") - 1, 0, len(edges) - 2)
plane = np.zeros((len(P["h_edges"]) - 1, len(P["prob_edges"]) - 1), int)
np.add.at(plane, (cell(P["h_edges"], hh), cell(P["prob_edges"], p)), 1)
check("plane.counts", P["counts"], plane.tolist())

# Rows resampled: splitmix64 of the row's index, 16 bits a replicate, to Poisson(1).
B = 200
bound, term, poisson = [], math.exp(-1), 0
for k in range(8):
    poisson += term
    bound.append(poisson * 65536)
    term /= k + 1
table = np.searchsorted(np.array(bound), np.arange(65536), side="right").astype(np.int64)
with np.errstate(over="ignore"):
    z = (np.arange(rows, dtype=np.uint64)[:, None] * np.uint64(B // 4) + np.arange(1, B // 4 + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
W = np.stack([table[((z >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.int64)] for k in range(4)], axis=2).reshape(rows, B)


def interval(mask, all_rows):
    c, t = np.bincount(row[mask & flag], minlength=rows), np.bincount(row[mask], minlength=rows)
    if all_rows < 2:
        return None, None
    top, bottom = c @ W, t @ W
    rates = top[bottom > 0] / bottom[bottom > 0]
    return (float(np.quantile(rates, 0.025)), float(np.quantile(rates, 0.975))) if len(rates) else (None, None)


def group(where, G, mask, all_rows):
    low, high = interval(mask, all_rows)
    t, c = int(mask.sum()), int((mask & flag).sum())
    for name, want in dict(rows=all_rows, targets=t, conflicts=c, conflict_rate=frac(c, t), low=low, high=high, mean_h=mean(hh[mask]), mean_logprob=mean(lp[mask])).items():
        check(f"{where}.{G['name']}.{name}", G[name], want)


low, high = interval(np.ones(n, bool), rows)
check("conflict_rate_low", R["conflict_rate_low"], low)
check("conflict_rate_high", R["conflict_rate_high"], high)


def groups(where, keys, all_rows=None):
    names = sorted(x for x in (set(keys.tolist()) if all_rows is None else all_rows) if x is not None)
    check(f"{where} names", sorted(g["name"] for g in R[where]), names)
    for g in R[where]:
        mask = keys == g["name"]
        group(where, g, mask, len(set(row[mask].tolist())) if all_rows is None else all_rows[g["name"]])


groups("by_source", A["source"].astype(object), dict(db.execute("select source, count(*) from k join s using (row) group by 1").fetchall()))
plain = lambda x: np.where(np.ma.getmaskarray(x), None, np.ma.getdata(x).astype(object))
role, turn, spanned = plain(A["role"]), plain(A["turn"]), A["spanned"]
isnull = lambda x: np.array([v is None or v != v for v in x], bool)
groups("by_role", np.where(spanned, np.where(isnull(role), "(outside)", role), None))
groups("by_turn", np.array([None if v is None or v != v else str(int(v)) if 0 <= v < 16 else "later" for v in turn], object))
place = np.zeros(n, int)
for i in range(n):
    place[i] = place[i - 1] + 1 if i and row[i] == row[i - 1] and A["island"][i] == A["island"][i - 1] else 1
names = np.array(["1", "2-4", "5-16", "17-64", "65-256", "257-"], object)
groups("by_position", names[np.searchsorted([1, 4, 16, 64, 256], place, side="left")] if n else np.array([], object))
if vocabulary:
    groups("by_class", classes.astype(object))

# Gates.
w = {"eaft": hh, "eaft^2": hh**2, "eaft^3": hh**3, "sigmoid(10,0.2)": 1 / (1 + np.exp(-10 * (hh - 0.2))), "sigmoid(20,0.1)": 1 / (1 + np.exp(-20 * (hh - 0.1))), "mask": 1.0 - flag}
check("gates", [g["gate"] for g in R["gates"]], list(w))
for g in R["gates"] if n else []:
    x = w[g["gate"]]
    ess, grad = x.sum() ** 2 / (x * x).sum(), 1 - np.exp(lp)
    for name, want in dict(mean_weight=x.mean(), effective_sample_size=ess, effective_share=ess / n, gradient_kept=(x * grad).sum() / grad.sum(), loss_kept=(x * lp).sum() / lp.sum()).items():
        check(f"gates.{g['gate']}.{name}", g[name], float(want))
for x in R["what_if"]:
    c, loss = one(f"select count(*), -sum(lp) from t where {conflict(x['prob'], x['h'])}")
    check("what_if.conflicts", x["conflicts"], c, 0)
    check("what_if.conflict_loss", x["conflict_loss"], float(loss or 0))
    check("what_if.conflict_rate", x["conflict_rate"], frac(c, n))

# Why.
where = conflict(cuts["prob"], cuts["h"]) if cuts["prob"] is not None else "false"
X = db.execute(f"select row, pos, token, top, lp, before, spanned and span is null, id, t1 from t where {where} order by lp, row, pos").fetchall()
if vocabulary:
    sums, contexts = {}, {}
    reason = [why(x[2], x[3], x[6]) for x in X]
    for x, r in zip(X, reason):
        if r == "content":
            contexts.setdefault((tuple(x[5]), x[2]), set()).add(x[0])
    reason = ["repeated" if r == "content" and len(contexts[tuple(x[5]), x[2]]) >= 3 else r for x, r in zip(X, reason)]
    for x, r in zip(X, reason):
        c, loss = sums.get(r, (0, 0.0))
        sums[r] = c + 1, loss - x[4]
    for g in R["why"]:
        c, loss = sums.get(g["why"], (0, 0.0))
        check(f"why.{g['why']}.conflicts", g["conflicts"], c, 0)
        check(f"why.{g['why']}.loss", g["loss"], loss)
        check(f"why.{g['why']}.share", g["share"], frac(c, C))
        own = [x for x, r in zip(X, reason) if r == g["why"]]
        for i, e in enumerate(g["examples"]):
            x = next((x for x in own if (x[0], x[1]) == (e["row"], e["pos"])), None)
            check(f"why.{g['why']}.examples.{i} is one", x is not None, True)
            if x is None:
                continue
            check("example.prob", e["prob"], math.exp(x[4]))
            check("example.expected_prob", e["expected_prob"], math.exp(x[8]))
            check("example.rows", e["rows"], len(contexts[tuple(x[5]), x[2]]) if g["why"] == "repeated" else 1, 0)
            if g["why"] not in ("repeated", "content"):
                check(f"why.{g['why']}.examples.{i}", [e["row"], e["pos"]], list(own[i][:2]))

# Rows and pairs.
worst = db.execute(f"select row, any_value(id), count(*), -sum(lp) from t where {where} group by row order by 4 desc, row limit {len(R['worst_rows'])}").fetchall()
for g, x in zip(R["worst_rows"], worst):
    check("worst_rows.row", g["row"], x[0], 0)
    check("worst_rows.conflicts", g["conflicts"], x[2], 0)
    check("worst_rows.conflict_loss", g["conflict_loss"], x[3])
    check("worst_rows.targets", g["targets"], int((row == x[0]).sum()), 0)
    own = db.execute(f"select pos, token, top, p, h, exp(t1) from t where row = {x[0]} and {where} order by pos").fetchall()
    have = [c["conflict"] for c in g["pieces"] if c.get("conflict")]
    check("worst_rows.pieces", [[c["pos"], c["token"], c["expected"]] for c in have], [list(c[:3]) for c in own])
    for c, d in zip(have, own):
        for name, want in (("prob", d[3]), ("h", d[4]), ("expected_prob", d[5])):
            check("worst_rows.pieces." + name, c[name], want)
pairs = db.execute(f"select top, token, count(*), avg(exp(t1)), avg(exp(lp)) from t where {where} group by 1, 2 order by 3 desc, 1, 2").fetchall()
check("pairs_total", R["pairs_total"], len(pairs), 0)
for g, x in zip(R["pairs"], pairs):
    check("pairs", [g["expected"], g["given"], g["count"]], list(x[:3]))
    check("pairs.mean_expected_prob", g["mean_expected_prob"], x[3])
    check("pairs.mean_given_prob", g["mean_given_prob"], x[4])
check("pairs_lost", R["pairs_lost"] + R["repeats_lost"], 0, 0)

# Calibration: all targets that were scored.
if len(sys.argv) > 4:
    db.execute(f"create table c as select unnest(token) = unnest(top1_id) ok, exp(unnest(top1_logprob)::double) p from read_parquet({shards(sys.argv[4])!r})")
    bins = db.execute("select least(14, greatest(0, ceil(p * 15) - 1))::int b, count(*), avg(p), avg(ok::int) from c group by 1").fetchall()
    all = sum(b[1] for b in bins)
    check("calibration.targets", R["calibration"]["targets"], all, 0)
    check("calibration.ece", R["calibration"]["ece"], sum(b[1] * abs(b[2] - b[3]) for b in bins) / all)
    for b, c, conf, acc in bins:
        g = R["calibration"]["bins"][b]
        check("calibration.bins.targets", g["targets"], c, 0)
        check("calibration.bins.confidence", g["confidence"], conf)
        check("calibration.bins.accuracy", g["accuracy"], acc)

print(f"{checked} numbers compared, {len(bad)} differ")
for b in bad[:40]:
    print(b)
sys.exit(bool(bad))
