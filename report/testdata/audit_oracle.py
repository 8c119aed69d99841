"""Computes every number of an audit again, by numpy, from the Parquet files alone.

audit_oracle.py RUN TOKENS SCORES AUDIT.json [AFTER]: says what differs; exit code 1 if anything does.
Written against pyarrow 26, numpy 2.4. The classes of tokens are not computed again, their sums are:
report/testdata/oracle.py has the rules.
"""
import json, math, os, sys
import numpy as np
import pyarrow.parquet as pq

run, tokens, scores, path = sys.argv[1:5]
after = sys.argv[5] if len(sys.argv) > 5 else None
A = json.load(open(path))
bad, checked = [], 0


def check(name, got, want, rel=1e-6):
    global checked
    checked += 1
    want = None if want is not None and not math.isfinite(want) else want
    if (got is None) != (want is None) or got is not None and abs(got - want) > rel * max(abs(got), abs(want)):
        bad.append(f"{name}: the audit has {got!r}, here it is {want!r}")


def rows(dir):
    for s in json.load(open(os.path.join(dir, "_manifest.json")))["shards"]:
        yield from pq.read_table(os.path.join(dir, s["name"])).to_pylist()


manifest = json.load(open(os.path.join(scores, "_manifest.json")))
K, cuts = manifest["k"], manifest["summary"]["cuts"]
f32 = lambda x: np.asarray(x, np.float32)


def flags(lp, te, m):
    h = np.clip(f32(te).astype(float) / math.log(K), 0, 1).astype(np.float32)
    return (np.exp(f32(lp).astype(float)).astype(np.float32) <= cuts["prob"]) & (h <= cuts["h"]) & (f32(m).astype(float) >= cuts["min_mass"])


def annotation(dir):
    out = {}
    for s, t in zip(rows(dir), rows(tokens), strict=True):
        assert s["id"] == t["id"]
        keep = [i for i, p in enumerate(s["pos"]) if t["labels"][p] != -100]
        pick = lambda c: [s[c][i] for i in keep]
        out[s["id"]] = (np.exp(f32(pick("logprob")).astype(float)), flags(pick("logprob"), pick("topk_entropy"), pick("topk_mass")))
    return out


base, tuned = annotation(scores), annotation(after) if after else None
source = {t["id"]: t["source"] for t in rows(tokens)}
visits = list(rows(os.path.join(run, "audit")))


def mass(name, got, vs):
    cat = lambda f: np.concatenate([f(v) for v in vs]) if vs else np.zeros(0)
    w, lp = cat(lambda v: f32(v["weight"]).astype(float)), cat(lambda v: f32(v["logprob"]).astype(float))
    p = np.exp(lp)
    loss, removed, grad, gone = -lp.sum(), ((1 - w) * -lp).sum(), (1 - p).sum(), ((1 - w) * (1 - p)).sum()
    if "loss_removed" in got:
        for k, x in (("visits", len(w)), ("mean_weight", w.mean()), ("loss", loss), ("loss_removed", removed), ("gradient", grad), ("gradient_removed", gone)):
            check(f"{name}.{k}", got[k], x)
    else:
        for k, x in (("visits", len(w)), ("mean_weight", w.mean()), ("sft_loss", -lp.mean()), ("loss", (-w * lp).mean())):
            check(f"{name}.{k}", got[k], x)
    check(f"{name}.loss_removed_share", got["loss_removed_share"], removed / loss)
    check(f"{name}.gradient_removed_share", got["gradient_removed_share"], gone / grad)
    return gone


def outcome(vs):
    """conflicts and drift of visits"""
    c, sure, lost = dict(base=0, resolved=0, persisting=0, new=0), 0, 0
    for v in vs:
        p0, was = base[v["id"]]
        p1, now = v["now"] if "now" in v else (np.exp(f32(v["logprob"]).astype(float)), flags(v["logprob"], v["topk_entropy"], v["topk_mass"]))
        for k, x in (("base", was), ("resolved", was & ~now), ("persisting", was & now), ("new", ~was & now)):
            c[k] += int(x.sum())
        s = p0 >= A["confident_from"]
        sure, lost = sure + int(s.sum()), lost + int((s & (p1 < A["lost_below"])).sum())
    return c, sure, lost


def fate(name, got, vs):
    c, sure, lost = outcome(vs)
    for k in ("confident", "lost"):
        check(f"{name}.{k}", got[k], {"confident": sure, "lost": lost}[k])
    check(f"{name}.drift", got["drift"], lost / sure if sure else None)
    return c


last = {}
for v in visits:
    if v["id"] not in last or v["step"] >= last[v["id"]]["step"]:
        last[v["id"]] = dict(v)
if tuned:
    for id, v in last.items():
        v["now"] = tuned[id]
final = list(last.values())
check("rows", A["rows"], len(final))
check("targets", A["targets"], sum(len(v["pos"]) for v in final))
removed = mass("total", A["total"], visits)
for k, x in fate("total", A["total"], final).items():
    check(f"conflicts.{k}", A["conflicts"][k], x)
check("drift", A["drift"], A["total"]["drift"])
assert A["measured_by"] == ("after" if after else "last visit")
assert sorted(g["name"] for g in A["by_source"]) == sorted(set(source[v["id"]] for v in visits))
for g in A["by_source"]:
    mine = lambda vs: [v for v in vs if source[v["id"]] == g["name"]]
    gone = mass(g["name"], g, mine(visits))
    check(f"{g['name']}.of_all_removed", g["of_all_removed"], gone / removed)
    fate(g["name"], g, mine(final))
for k in ("visits", "loss", "loss_removed", "gradient", "gradient_removed", "confident", "lost"):
    check(f"sum of by_class {k}", sum(g[k] for g in A["by_class"]), A["total"][k])
assert [e["epoch"] for e in A["epochs"]] == sorted({v["epoch"] + 1 for v in visits})
for e in A["epochs"]:
    mine = [v for v in visits if v["epoch"] + 1 == e["epoch"]]
    mass(f"epoch {e['epoch']}", e, mine)
    for k, x in fate(f"epoch {e['epoch']}", e, mine).items():
        check(f"epoch {e['epoch']} {k}", e["conflicts"][k], x)
at = []
for v in visits:
    i = np.nonzero(base[v["id"]][1])[0]
    at.append({k: [v[k][j] for j in i] for k in ("weight", "logprob")})
check("at_conflicts.of_all_removed", A["at_conflicts"]["of_all_removed"], mass("at_conflicts", A["at_conflicts"], at) / removed)

# The worst: the largest falls of ln p among the lost.
falls = []
for v in final:
    p0 = base[v["id"]][0]
    p1 = v["now"][0] if tuned else np.exp(f32(v["logprob"]).astype(float))
    for i in np.nonzero((p0 >= A["confident_from"]) & (p1 < A["lost_below"]))[0]:
        falls.append((math.log(p1[i]) - math.log(p0[i]), v["id"], v["pos"][i], p0[i], p1[i]))
falls.sort()
for got, want in zip(A["worst"], falls):
    assert (got["id"], got["pos"]) == want[1:3], (got, want)
    check("worst.base_prob", got["base_prob"], want[3])
    check("worst.prob", got["prob"], want[4])
assert len(A["worst"]) == min(20, len(falls))

steps = [json.loads(l) for l in open(os.path.join(run, "metrics.jsonl"))]
at = 0
for p in A["curve"]:
    mine = steps[at:at + p["steps"]]
    at += p["steps"]
    check("curve.step", p["step"], mine[-1]["step"])
    for k in ("loss", "sft_loss", "mean_weight", "grad_norm", "lr"):
        check(f"curve.{k}", p[k], float(np.mean([m[k] for m in mine])))
check("steps of the curve", at, len(steps))
print(f"{checked} numbers, {len(bad)} differ")
print("\n".join(bad[:20]))
sys.exit(1 if bad else 0)
