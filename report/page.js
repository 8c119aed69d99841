"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const R = data.report, G = data.grid;
const $ = id => document.getElementById(id);
const make = (tag, text, cls) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  return e;
};
const unpack = (s, type) => {
  const bin = atob(s), b = new Uint8Array(bin.length);
  for (let i = 0; i < bin.length; i++) b[i] = bin.charCodeAt(i);
  return new type(b.buffer);
};
const T = { given: unpack(data.given, Uint32Array), expected: unpack(data.expected, Uint32Array), before: unpack(data.before, Uint32Array),
  p: unpack(data.prob, Float32Array), h: unpack(data.h, Float32Array), mass: unpack(data.mass, Float32Array), sure: unpack(data.sure, Float32Array),
  rank: unpack(data.rank, Uint32Array), cls: unpack(data.class, Uint8Array), why: unpack(data.why, Uint8Array),
  likeliest: unpack(data.likeliest, Uint32Array), likeliestP: unpack(data.likeliest_probs, Float32Array) };

const count = n => n.toLocaleString("en-US");
const num = x => x === null ? "–" : x === 0 ? "0" : Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6 ? String(Number(x.toPrecision(4))) : x.toExponential(1);
const pct = x => x === null ? "–" : x === 0 || x >= .01 ? (100 * x).toFixed(1) + "%" : x >= 1e-4 ? Number((100 * x).toPrecision(2)) + "%" : "<0.01%";
const share = (a, b) => b ? a / b : null;

// Totals.
$("title").textContent = `${count(R.conflicts)} confident conflicts in ${count(R.targets)} trained tokens of ${count(R.rows)} rows`;
$("lead").textContent = `Tokens to which the model gives little probability although it is sure of another one: probability ≤ ${num(R.cuts.prob)} and gate entropy ≤ ${num(R.cuts.h)}, with top-${R.k} mass ≥ ${num(R.cuts.min_mass)} (${R.cuts.thresholds}, h: ${R.cuts.estimator}).`;
const brief = s => s.replace(/sha256:([0-9a-f]{12})[0-9a-f]*/g, "$1");
if (R.made.model) $("made").textContent = `Scored by the model ${R.made.name ? `${R.made.name} (${brief(R.made.model)})` : brief(R.made.model)} in ${R.made.dtype} on ${R.made.isa}, eaft ${R.made.version}; tokens ${brief(R.made.tokens)}.`;
for (const [name, value] of [
  ["conflict rate", pct(R.conflict_rate) + (R.conflict_rate_low === null || !R.conflicts ? "" : ` (${pct(R.conflict_rate_low)} – ${pct(R.conflict_rate_high)})`)],
  ["rows with a conflict", `${count(R.conflict_rows)} (${pct(share(R.conflict_rows, R.rows))})`],
  ["share of the loss", pct(share(R.conflict_loss, R.loss))],
  ["mean log-probability", num(R.mean_logprob)], ["mean gate entropy h", num(R.mean_h)],
  [`mean top-${R.k} mass`, num(R.mean_topk_mass)], [`top-${R.k} ~ full entropy`, num(R.topk_full_correlation)],
  ["targets with h < 0.01", pct(R.sure_share)],
  ...(R.calibration ? [["calibration error of top-1", num(R.calibration.ece)]] : []),
]) {
  const div = make("div");
  div.append(make("dt", name), make("dd", value));
  $("totals").append(div);
}
for (const w of R.warnings) $("warnings").append(make("li", w));

// Tables.
const cell = (v, cls) => { const td = make("td", undefined, cls); v instanceof Node ? td.append(v) : td.textContent = v; return td; };
const table = (into, heads, rows) => {
  const t = make("table"), head = make("tr"), scroll = make("div", undefined, "scroll");
  for (const h of heads) { const th = make("th", h); th.scope = "col"; head.append(th); }
  t.append(make("thead")); t.tHead.append(head);
  const body = make("tbody");
  for (const r of rows) { const tr = make("tr"); for (const c of r) tr.append(c instanceof HTMLTableCellElement ? c : cell(c)); body.append(tr); }
  t.append(body); scroll.append(t); into.append(scroll);
};
const clash = (given, prob, expected, sure) => {
  const s = make("span", undefined, "mono");
  s.append(make("span", given, "given"), ` ${pct(prob)} | `, make("span", expected, "expected"), ` ${pct(sure)}`);
  return s;
};
if (R.why.length) {
  table($("why"), ["reason", "conflicts", "share", "examples"], R.why.filter(w => w.conflicts).map(w => {
    const name = make("span", w.why), box = make("div");
    name.append(make("br"), make("small", data.means[w.why]));
    for (const e of w.examples) {
      const line = make("div");
      line.append(make("span", e.before.slice(-40), "mono c"), " ", clash(e.given_text, e.prob, e.expected_text, e.expected_prob), e.rows > 1 ? ` in ${count(e.rows)} rows` : ` row ${e.row}`);
      box.append(line);
    }
    return [cell(name, "text"), count(w.conflicts), pct(w.share), cell(box, "text")];
  }));
} else $("why").append(make("p", "No vocabulary was found, so tokens cannot be spelled."));
table($("gates"), ["gate", "mean weight", "effective sample size", "gradient kept", "loss kept"],
  R.gates.map(g => [g.gate, num(g.mean_weight), pct(g.effective_share), pct(g.gradient_kept), pct(g.loss_kept)]));
for (const [name, list] of [["Source", R.by_source], ["Role", R.by_role], ["Turn", R.by_turn], ["Place in the answer", R.by_position], ["Class of token", R.by_class]]) {
  if (!list.length) continue;
  const d = make("details"), top = Math.max(...list.map(g => g.high === null ? g.conflict_rate : g.high), 1e-9);
  d.open = name !== "Turn" && name !== "Role" && list.length <= 20;
  d.append(make("summary", `${name} (${list.length})`));
  table(d, [name.toLowerCase(), "rows", "targets", "conflicts", "rate", "", "95% interval"], list.slice(0, 200).map(g => {
    const track = make("span", undefined, "track"), bar = make("i"), line = make("b");
    bar.style.width = 100 * (g.conflict_rate || 0) / top + "%";
    track.append(bar);
    const known = g.low !== null && g.conflicts > 0; // resampled, no conflict stays none
    if (known) { line.style.left = 100 * g.low / top + "%"; line.style.width = Math.max(.5, 100 * (g.high - g.low) / top) + "%"; track.append(line); }
    return [cell(g.name || "(unnamed)", "text"), count(g.rows), count(g.targets), count(g.conflicts), pct(g.conflict_rate), cell(track, "bar"), !known ? "–" : `${pct(g.low)} – ${pct(g.high)}`];
  }));
  if (list.length > 200) d.append(make("p", `and ${list.length - 200} more, in the JSON`));
  $("groups").append(d);
}
$("pairs-shown").textContent = `${count(R.pairs.length)} of ${count(R.pairs_total)} pairs`;
table($("pairs"), ["expected", "mean p", "given", "mean p", "count"], R.pairs.map(p => [
  cell(make("span", p.expected_text, "mono expected")), pct(p.mean_expected_prob), cell(make("span", p.given_text, "mono given")), pct(p.mean_given_prob), count(p.count)]));

// The plane and its cuts. A cut is an edge of the grid, so a recount is exact.
const PE = G.prob_edges, HE = G.h_edges;
const under = HE.map(() => new Float64Array(PE.length)); // sure targets with h <= HE[i], p <= PE[j]
for (let i = 1; i < HE.length; i++)
  for (let j = 1; j < PE.length; j++) under[i][j] = G.sure[i - 1][j - 1] + under[i - 1][j] + under[i][j - 1] - under[i - 1][j - 1];
const atEdge = (edges, x) => { let k = 0; edges.forEach((e, i) => { if (e <= x) k = i; }); return k; };
const cut = { p: 0, h: 0 };
const canvas = $("plane");
const pad = { l: 64, b: 34, t: 8, r: 8 };
const draw = () => {
  const w = canvas.clientWidth, h = canvas.clientHeight, dpr = window.devicePixelRatio || 1;
  canvas.width = w * dpr; canvas.height = h * dpr;
  const c = canvas.getContext("2d"), style = getComputedStyle(document.body);
  c.scale(dpr, dpr);
  const cw = (w - pad.l - pad.r) / (PE.length - 1), ch = (h - pad.t - pad.b) / (HE.length - 1);
  const x = j => pad.l + cw * j, y = i => h - pad.b - ch * i;
  const top = Math.log1p(Math.max(1, ...G.counts.map(r => Math.max(...r))));
  G.counts.forEach((row, i) => row.forEach((n, j) => {
    if (!n) return;
    const a = .12 + .88 * Math.log1p(n) / top, conflict = i < cut.h && j < cut.p;
    c.fillStyle = conflict ? `rgba(214,60,52,${a})` : `rgba(66,120,214,${a})`;
    const l = Math.round(x(j)), t = Math.round(y(i + 1));
    c.fillRect(l, t, Math.round(x(j + 1)) - l, Math.round(y(i)) - t);
  }));
  c.strokeStyle = c.fillStyle = style.color;
  c.font = "12px system-ui, sans-serif";
  c.strokeRect(pad.l, pad.t, cw * (PE.length - 1), ch * (HE.length - 1));
  c.textAlign = "center"; c.textBaseline = "top";
  let last = -99;
  const marks = w < 500 ? [1e-6, 1e-4, .01, .1, 1] : [1e-6, 1e-5, 1e-4, 1e-3, .01, .1, .3, 1];
  for (const m of marks) { const k = PE.findIndex(e => e >= m * .999); if (k > 0 && x(k) - last > 34) { c.fillText(String(m), Math.min(x(k), w - 14), h - pad.b + 4); last = x(k); } }
  c.fillText("probability of the token in the data", pad.l + cw * (PE.length - 1) / 2, h - 15);
  c.textAlign = "right"; c.textBaseline = "middle";
  for (const m of [1e-4, 1e-3, .01, .1, 1]) { const k = HE.findIndex(e => e >= m * .999); if (k > 0) c.fillText(String(m), pad.l - 4, Math.max(y(k), 10)); }
  c.save(); c.translate(10, pad.t + ch * (HE.length - 1) / 2); c.rotate(-Math.PI / 2); c.textAlign = "center"; c.fillText("gate entropy h", 0, 0); c.restore();
  c.lineWidth = 2; c.strokeStyle = style.getPropertyValue("--red");
  c.beginPath(); c.moveTo(x(cut.p), pad.t); c.lineTo(x(cut.p), y(0)); c.moveTo(pad.l, y(cut.h)); c.lineTo(pad.l + cw * (PE.length - 1), y(cut.h)); c.stroke();
  canvas.setAttribute("aria-label", `Targets by probability and gate entropy; ${$("count").textContent} lie under both cuts`);
};
canvas.addEventListener("click", e => {
  const b = canvas.getBoundingClientRect(), clamp = (v, n) => Math.max(0, Math.min(n, Math.round(v)));
  setCuts(clamp((e.clientX - b.left - pad.l) / (b.width - pad.l - pad.r) * (PE.length - 1), PE.length - 1),
    clamp((b.bottom - pad.b - e.clientY) / (b.height - pad.t - pad.b) * (HE.length - 1), HE.length - 1));
});
const setCuts = (p, h) => {
  cut.p = p; cut.h = h;
  $("cut-p").value = p; $("cut-h").value = h;
  $("out-p").textContent = num(PE[p]); $("out-h").textContent = num(HE[h]);
  $("cut-p").setAttribute("aria-valuetext", num(PE[p])); $("cut-h").setAttribute("aria-valuetext", num(HE[h]));
  const n = p === report.p && h === report.h ? R.conflicts : under[h][p];
  $("count").textContent = count(n); $("rate").textContent = pct(share(n, R.targets)); $("of").textContent = count(R.targets);
  $("flag").textContent = `--thresholds "p<=${PE[p]},h<=${HE[h]}"`;
  draw(); recount();
};
const report = { p: atEdge(PE, R.cuts.prob), h: atEdge(HE, R.cuts.h) };
$("cut-p").max = PE.length - 1; $("cut-h").max = HE.length - 1;
for (const id of ["cut-p", "cut-h"]) $(id).addEventListener("input", () => setCuts(+$("cut-p").value, +$("cut-h").value));
$("reset").addEventListener("click", () => setCuts(report.p, report.h));

// Rows. A body is made when it comes near the screen.
let at = 0, text = 0;
const rows = data.rows.map((r, i) => {
  const row = { ...r, first: at, text, n: r.targets, made: false, box: make("article"), head: make("h3"), body: make("div", undefined, "body") };
  at += r.targets; text += r.targets + 1;
  row.box.append(row.head, row.body);
  row.box.dataset.row = r.row;
  row.body.dataset.index = i;
  return row;
});
const minMass = R.cuts.min_mass === null ? 0 : R.cuts.min_mass;
const isConflict = k => T.p[k] <= PE[cut.p] && T.h[k] <= HE[cut.h] && T.mass[k] >= minMass;
const wanted = () => ({ why: $("f-why").value === "" ? -1 : +$("f-why").value, cls: $("f-class").value === "" ? -1 : +$("f-class").value, source: $("f-source").value, id: $("f-id").value, colour: document.querySelector("[name=colour]:checked").value });
const fits = (k, f) => (f.why < 0 || T.why[k] === f.why) && (f.cls < 0 || T.cls[k] === f.cls);
const inline = s => (s.startsWith("·") ? " " + s.slice(1) : s).replaceAll("⏎", "⏎\n");
const paint = (span, k, f) => {
  let a = 0, rgb = "66,120,214";
  if (f.colour === "h") a = .6 * (1 - T.h[k]);
  if (f.colour === "p") { rgb = "214,60,52"; a = .65 * Math.min(1, -Math.log10(Math.max(T.p[k], 1e-9)) / 4); }
  span.style.backgroundColor = a > .01 ? `rgba(${rgb},${a.toFixed(3)})` : "";
  const x = isConflict(k);
  span.className = x ? (f.why >= 0 || f.cls >= 0) && fits(k, f) ? "x m" : "x" : "";
  span.tabIndex = x ? 0 : -1;
};
const fill = row => {
  const f = wanted(), parts = [];
  for (let n = 0; n < row.n; n++) {
    const before = data.strings[T.before[row.text + n]], k = row.first + n;
    if (before) parts.push(make("span", inline(before), "c"));
    const s = make("span", inline(data.strings[T.given[k]]));
    s.dataset.k = k;
    paint(s, k, f);
    parts.push(s);
  }
  const rest = data.strings[T.before[row.text + row.n]];
  if (rest) parts.push(make("span", inline(rest), "c"));
  row.body.replaceChildren(...parts);
  row.made = true;
};
const watch = new IntersectionObserver(seen => {
  for (const e of seen) if (e.isIntersecting) { const row = rows[e.target.dataset.index]; if (!row.made) fill(row); }
}, { rootMargin: "600px" });
const recount = () => {
  const f = wanted();
  let shown = 0, conflicts = 0;
  for (const row of rows) {
    let all = 0, match = 0;
    for (let k = row.first; k < row.first + row.n; k++) if (isConflict(k)) { all++; if (fits(k, f)) match++; }
    const show = match > 0 && (f.source === "" || row.source === f.source) && row.id.includes(f.id);
    row.box.hidden = !show;
    if (!show) { if (row.made) { row.made = false; row.body.replaceChildren(); watch.unobserve(row.body); watch.observe(row.body); } continue; }
    shown++; conflicts += match;
    row.head.textContent = `row ${count(row.row)} · ${row.id}${row.source ? " · " + row.source : ""} · ${all} of ${row.n} tokens conflict`;
    if (row.made) for (const s of row.body.querySelectorAll("[data-k]")) paint(s, +s.dataset.k, f);
  }
  $("shown").textContent = rows.length ? `${count(shown)} of the ${count(rows.length)} rows with the largest conflict loss, ${count(conflicts)} conflicts in them` : "No rows: this report was made without any.";
  $("legend").textContent = { h: "Blue: the model was sure (low h). ", p: "Red: the token was unlikely (low p). ", none: "" }[f.colour] + "Underlined: a conflict. Hover, tap or focus a token for what the model expected; Tab goes to the next conflict, arrows to the next token.";
};
for (const s of [...new Set(data.rows.map(r => r.source))].sort()) if (s) $("f-source").append(new Option(s, s));
data.reasons.forEach((w, i) => $("f-why").append(new Option(w, i)));
data.classes.forEach((c, i) => $("f-class").append(new Option(c.replace("_", " "), i)));
$("filter").addEventListener("submit", e => e.preventDefault());
$("filter").addEventListener("input", recount);
$("rows").append(...rows.map(r => r.box));
for (const r of rows) watch.observe(r.body);

// What the model expected.
const tip = $("tip");
const show = span => {
  const k = +span.dataset.k, line = (...parts) => { const d = make("div"); d.append(...parts); return d; };
  tip.replaceChildren(
    line("given ", make("span", data.strings[T.given[k]], "mono given"), ` with p ${pct(T.p[k])}, rank ${count(T.rank[k])}`),
    line("expected ", make("span", data.strings[T.expected[k]], "mono expected"), ` with p ${pct(T.sure[k])}`),
    line(`h ${num(T.h[k])}, top-${R.k} mass ${num(T.mass[k])}, ${data.classes[T.cls[k]].replace("_", " ")}`));
  for (let i = k * data.store_topk; i < (k + 1) * data.store_topk; i++)
    tip.append(line(`${i - k * data.store_topk + 1}. `, make("span", data.strings[T.likeliest[i]], "mono" + (T.likeliest[i] === T.given[k] ? " given" : "")), ` ${pct(T.likeliestP[i])}`));
  if (isConflict(k)) tip.append(line(`conflict: ${data.reasons[T.why[k]]}, ${data.means[data.reasons[T.why[k]]]}`));
  tip.hidden = false;
  const b = span.getClientRects()[0], t = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(b.left, innerWidth - t.width - 8)) + "px";
  tip.style.top = (b.bottom + 8 + t.height < innerHeight ? b.bottom + 8 : Math.max(8, b.top - t.height - 8)) + "px";
};
const hide = () => { tip.hidden = true; };
const target = e => e.target.closest ? e.target.closest("[data-k]") : null;
for (const on of ["pointerover", "focusin", "click"]) $("rows").addEventListener(on, e => { const s = target(e); s ? show(s) : hide(); });
for (const off of ["pointerleave", "focusout"]) $("rows").addEventListener(off, hide);
addEventListener("scroll", () => { const s = document.activeElement; !tip.hidden && s && s.dataset.k ? show(s) : hide(); }, { passive: true });
addEventListener("keydown", e => {
  if (e.key === "Escape") hide();
  const s = document.activeElement;
  if (!s || !s.dataset || !s.dataset.k || !["ArrowLeft", "ArrowRight"].includes(e.key)) return;
  const all = [...s.parentNode.querySelectorAll("[data-k]")], next = all[all.indexOf(s) + (e.key === "ArrowRight" ? 1 : -1)];
  if (next) { next.focus(); e.preventDefault(); }
});
addEventListener("resize", draw);
setCuts(report.p, report.h);
