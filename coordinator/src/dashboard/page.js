// Draws what the dashboard is told, part by part. Every part is the JSON that `-o json` prints; text stays text: nothing here
// makes markup out of it. Knows nothing of who tells it.
"use strict";

const $ = (id) => document.getElementById(id);
const told = {};
let shown = null; // the job of this page, or none
let source = null;
let lostSince = null; // of the stream, in milliseconds

// --- small things -----------------------------------------------------------------------------------------------------------

/** An element; `text`, `on…` and attributes by name. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  return dress(node, attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Children of `parent`, one for each item, kept where their key stays: focus and selection survive. */
function sync(parent, items, key, build, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const child = known.get(name) ?? build(item);
    known.delete(name);
    child.dataset.key = name;
    update?.(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  known.forEach((child) => child.remove());
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Text that comes and goes. */
function say(node, text) {
  node.hidden = !text;
  put(node, text ?? "");
}

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const grouped = (value) => number.format(value);
const counted = (value, noun) => `${grouped(value)} ${noun}${value === 1 ? "" : "s"}`;
const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)}%`);

function figure(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.01 || size === 0 ? value.toFixed(3) : value.toPrecision(2);
}

/** The two largest units. */
function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
const address = (job) => `#/job/${encodeURIComponent(job)}`;

/** A word's sign, so that colour is never the only one. */
const SIGNS = {
  running: "●", training: "●", refining: "●", evaluating: "●", finished: "✓", sealing: "◕", forming: "◐", preparing: "◐",
  entering: "◐", queued: "○", idle: "○", waiting: "△", suspect: "△", paused: "‖", draining: "▽", drained: "▽", leaving: "▽",
  left: "▽", lost: "✕", failed: "✕", cancelled: "✕",
};
const isBad = (word) => ["lost", "failed", "suspect"].includes(word);

function state(node, word) {
  put(node, word);
  node.dataset.sign = SIGNS[word] ?? "○";
  node.classList.toggle("bad", isBad(word));
}

// --- ages grow between two words --------------------------------------------------------------------------------------------

const ages = new WeakMap();
const STALE_AFTER = 2.5; // seconds; a worker is heard every second

function aged(node, seconds, words) {
  ages.set(node, { zero: performance.now() - seconds * 1000, words });
  node.dataset.aged = "";
  grow(node);
}

function grow(node) {
  const { zero, words } = ages.get(node) ?? {};
  if (words) put(node, words((performance.now() - zero) / 1000));
}

// --- the cluster ------------------------------------------------------------------------------------------------------------

function coordinator() {
  const known = told.coordinator;
  if (!known) return;
  const isAway = known.state === "away";
  const node = $("coordinator");
  if (isAway) put(node, `${known.url ?? "coordinator"}: away`);
  else aged(node, known.up_seconds, (up) => `${known.url}   ·   sumac ${known.version}   ·   term ${known.term}   ·   up ${span(up)}`);
  if (isAway) ages.delete(node);
  away();
}

/** Who is away, and since when; it comes back by itself. */
function away() {
  const known = told.coordinator;
  const since = lostSince !== null && performance.now() - lostSince > 1500;
  const isAway = known?.state === "away";
  document.body.classList.toggle("is-away", since || isAway);
  if (since) {
    say($("away"), `The dashboard itself is away, for ${span((performance.now() - lostSince) / 1000)}. What is shown is as old as that; it goes on by itself once \`sumac dashboard\` runs again.`);
  } else if (isAway) {
    say($("away"), `The coordinator is away since ${clock(known.away_since)}, for ${span(known.away_seconds)}: ${known.cause}. Runs go on without it; what is shown is as old as that, and goes on by itself.`);
  } else {
    say($("away"), known?.trouble ? `The coordinator takes on nothing new: ${known.trouble}` : null);
  }
}

function workers() {
  const all = told.workers?.items ?? [];
  const are = (test) => all.filter(test).length;
  const lost = are((worker) => worker.presence === "lost");
  const parts = [counted(all.length, "worker"), `${are((w) => w.presence === "here" && w.state !== "idle")} busy`, `${are((w) => w.state === "idle")} idle`];
  if (lost) parts.push(`${lost} lost`);
  put($("workers-said"), all.length ? parts.join("   ·   ") : "No worker has joined yet.");
  const nodes = [...new Set(all.map((worker) => worker.node))];
  sync($("nodes"), nodes, (node) => node, () => make("div", { class: "node" }, make("h3"), make("ul", { class: "workers" })), (box, node) => {
    const own = all.filter((worker) => worker.node === node);
    put(box.firstChild, `${node}   ·   ${[...new Set(own.map((worker) => worker.device))].join(", ")}`);
    sync(box.lastChild, own, (worker) => worker.name, newWorker, worker);
  });
}

function newWorker() {
  const part = (name) => make("span", { class: name });
  return make("li", { class: "worker" }, part("name"), part("state"), part("doing"), part("cause"), part("age"));
}

function worker(box, known) {
  const [name, word, doing, cause, age] = box.children;
  put(name, known.name);
  const isLost = known.presence === "lost";
  state(word, known.state);
  box.classList.toggle("bad", isBad(known.presence));
  const speed = known.steps_per_second ? `${known.steps_per_second.toFixed(1)} step/s` : known.images_per_second ? `${grouped(known.images_per_second)} images/s` : null;
  const parts = [known.job, known.step ? `step ${grouped(known.step)}` : null, ...(isLost ? [] : [speed, ...machine(known.vitals)])];
  say(doing, parts.filter(Boolean).join("   ·   "));
  say(cause, known.cause);
  aged(age, known.silent_seconds, (silent) => {
    box.classList.toggle("stale", ["here", "suspect"].includes(known.presence) && (known.stale || silent > STALE_AFTER));
    return silent < 1.5 ? "heard just now" : `heard ${span(silent)} ago`;
  });
}

/** How the machine is. */
function machine(vitals) {
  if (!vitals) return [];
  const gpus = vitals.gpus.map((gpu) => `GPU ${percent(gpu.busy)}`);
  return [`${vitals.process_cores.toFixed(1)} cores`, size(vitals.process_bytes), ...gpus];
}

function progressOf(job) {
  const unit = { refine: " shards", evaluate: " cells" }[job.kind] ?? "";
  const share = job.steps ? Math.floor((job.step * 100) / job.steps) : 0;
  return { share, count: `${grouped(job.step)} / ${grouped(job.steps)}${unit}` };
}

function speedOf(job) {
  if (job.pieces) return job.images_per_second ? `${grouped(job.images_per_second)} images/s` : null;
  return job.steps_per_second ? `${job.steps_per_second.toFixed(1)} step/s` : null;
}

function jobs() {
  const all = [...(told.jobs?.items ?? [])].reverse();
  $("no-jobs").hidden = all.length > 0;
  const part = (name, ...children) => make("span", { class: name }, ...children);
  const build = () => make("li", {}, make("a", { class: "row" },
    part("name-box", part("name"), part("kind")), part("state"),
    part("bar", make("progress", { "aria-label": "progress" }), part("count")), part("side"), part("side"), part("reason")));
  sync($("jobs"), all, (job) => job.id, build, (item, job) => {
    const row = item.firstChild;
    row.href = address(job.id);
    const [names, word, bar, speed, end, reason] = row.children;
    put(names.firstChild, job.id);
    put(names.lastChild, job.kind);
    state(word, job.state);
    row.classList.toggle("bad", isBad(job.state));
    const { share, count } = progressOf(job);
    [bar.firstChild.max, bar.firstChild.value] = [Math.max(job.steps, 1), job.step];
    put(bar.lastChild, `${count}   ${share}%`);
    put(speed, speedOf(job) ?? (job.workers.length ? counted(job.workers.length, "worker") : ""));
    put(end, job.eta_seconds !== null ? `${span(job.eta_seconds)} left` : `${span(job.age_seconds)} old`);
    say(reason, job.reason);
  });
}

// --- events -----------------------------------------------------------------------------------------------------------------

let detailsToo = false;

function events(list, facts, ofOne) {
  const wanted = facts.filter((fact) => detailsToo || fact.class !== "detail");
  // The same words may be said twice in a second.
  const times = new Map();
  const keyed = wanted.map((fact) => {
    const name = `${fact.at} ${fact.what}`;
    times.set(name, (times.get(name) ?? 0) + 1);
    return { ...fact, key: `${name} ${times.get(name)}` };
  });
  sync(list, keyed.reverse(), (fact) => fact.key, (fact) => {
    const what = make("span", { class: "what" });
    if (fact.job && !ofOne) what.append(make("a", { class: "about", href: address(fact.job), text: fact.job }));
    what.append(fact.what);
    const item = make("li", { class: `of-${fact.class}` }, make("time", { datetime: fact.at, title: fact.at, text: clock(fact.at) }), make("span", { class: "class", text: fact.class === "incident" ? "▲ incident" : fact.class }), what);
    if (fact.evidence?.length) item.append(make("ul", {}, ...fact.evidence.map((line) => make("li", { text: line }))));
    return item;
  });
}

// --- one job ----------------------------------------------------------------------------------------------------------------

function job() {
  const known = told.job;
  if (!known || known.id !== shown) return;
  if (known.unknown) {
    put($("job-title"), known.id);
    state($("job-state"), "");
    say($("job-reason"), "The coordinator knows no job of this name.");
    return;
  }
  put($("job-title"), known.id);
  state($("job-state"), known.state);
  const most = known.workers_max >= 4294967295 ? "all" : known.workers_max;
  const line = [known.name === known.id ? null : known.name, known.kind, `submitted ${span(known.age_seconds)} ago`, `sha ${known.identity.slice(0, 6)}`, known.seed === null ? null : `seed ${known.seed}`, known.generation ? `generation ${known.generation}` : null];
  put($("job-line"), line.filter(Boolean).join("   ·   "));
  say($("job-reason"), known.reason);
  $("job-reason").classList.toggle("calm", !["failed", "waiting"].includes(known.state));
  say($("job-imbalance"), known.imbalance ? `Out of balance: ${known.imbalance}` : null);

  const { share, count } = progressOf(known);
  const bar = $("job-progress").firstElementChild;
  [bar.max, bar.value] = [Math.max(known.steps, 1), known.step];
  const pace = [known.pieces ? count : `step ${count}`, `${share}%`, speedOf(known), !known.pieces && known.images_per_second ? `${grouped(known.images_per_second)} images/s` : null, known.eta_seconds === null ? null : `${span(known.eta_seconds)} left`];
  put($("progress-said"), pace.filter(Boolean).join("   ·   "));
  document.title = `${share}% ${known.id} · Sumac`;

  figures(known, most);
  times(known.each ?? []);
  pieces(known);
  timeline(known);
  const saved = [...known.checkpoints].reverse();
  $("checkpoints").hidden = !saved.length;
  sync($("saved"), saved, (one) => one.path, (one) => make("li", {}, make("time", { datetime: one.at, text: clock(one.at) }), make("span", { class: "class", text: `step ${grouped(one.step)}` }), make("span", { class: "what", text: `${size(one.bytes)}   ${one.path}` })));
  events($("job-events"), known.facts ?? [], true);
}

function figures(known, most) {
  const { losses, pieces: parts } = known;
  const all = [];
  const add = (name, value, small, fill) => all.push({ name, value, small, fill });
  if (losses) {
    const weighed = known.lambda === null ? "" : `realism ${figure(losses.realism)} + ${known.lambda} × regularisation ${figure(losses.regularisation)}`;
    add("Refiner's loss", figure(losses.refiner), weighed);
    add("Discriminator's loss", figure(losses.discriminator), "0.693 is chance");
  }
  if (known.accuracy) add("Discriminator right", `${percent(known.accuracy.mean)}: ${known.accuracy.words}`, `${percent(losses.accuracy_on_real)} of real, ${percent(losses.accuracy_on_refined)} of refined patches`);
  if (known.history_size) add("History", `${grouped(known.history ?? 0)} of ${grouped(known.history_size)} images`, null, (known.history ?? 0) / known.history_size);
  if (parts && known.kind === "refine") add("Images", `${grouped(parts.done)} of ${grouped(parts.items)} refined`, parts.bad ? `${grouped(parts.bad)} bad` : "none bad");
  add("Workers", known.workers.length ? known.workers.join(", ") : "none", `${known.workers_min} to ${most} wanted`);
  if (known.slow) add("Slow", known.slow.worker, `${known.slow.own_ms.toFixed(1)} ms of own work in a step, the others ${known.slow.others_ms.toFixed(1)}`);
  if (!parts) {
    const last = known.checkpoints.at(-1);
    add("Checkpoint", known.saved === null ? "none yet" : `step ${grouped(known.saved)}`, last ? `${span(last.age_seconds)} ago, ${size(last.bytes)}` : null);
    if (known.goodput !== undefined) add("Goodput", `${(known.goodput * 100).toFixed(1)}%`, "of the time went into steps that count");
    add("So far", counted(known.generations, "generation"), `${counted(known.workers_seen, "worker")} seen, ${counted(known.steps_redone, "step")} done again`);
  }
  if (parts) add("Refiner of", parts.runs.join(", ") || "–", `source ${parts.source}`);
  add("Output", known.output_dir);
  sync($("figures"), all, (one) => one.name, (one) => make("div", {}, make("dt", { text: one.name }), make("dd", {}, make("span"), make("progress", { max: 1, hidden: "", "aria-label": one.name }), make("small"))), (box, one) => {
    const [value, fill, small] = box.lastChild.children;
    put(value, one.value);
    fill.hidden = one.fill === undefined;
    if (one.fill !== undefined) fill.value = one.fill;
    say(small, one.small);
  });
}

/** Where the time of a step goes, by worker. */
function times(each) {
  $("times").hidden = !each.length;
  if (!each.length) return;
  const parts = Object.keys(each[0].step_ms);
  const row = (cell, texts) => make("tr", {}, ...texts.map((text, at) => make(at ? cell : "th", { scope: at ? (cell === "th" ? "col" : null) : cell === "th" ? "col" : "row", text })));
  const whole = (step) => parts.reduce((sum, part) => sum + step[part], 0);
  const rows = each.map(({ worker, step_ms: step }) => row("td", [worker, ...parts.map((part) => percent(step[part] / whole(step))), `${whole(step).toFixed(1)} ms`]));
  $("times-table").replaceChildren(make("thead", {}, row("th", ["worker", ...parts, "a step"])), make("tbody", {}, ...rows));
}

// --- pieces -----------------------------------------------------------------------------------------------------------------

const CELLS_MAX = 400;

function pieces(known) {
  const parts = known.pieces;
  $("pieces").hidden = !parts;
  if (!parts) return;
  const pending = Math.max(0, known.steps - parts.committed - parts.leased - parts.quarantined);
  const kinds = [["committed", parts.committed], ["leased", parts.leased], ["quarantined", parts.quarantined], ["pending", pending]];
  const each = Math.max(1, Math.ceil(known.steps / CELLS_MAX));
  const words = kinds.map(([kind, count]) => `${grouped(count)} ${kind}`).join(", ");
  put($("pieces-title"), known.unit === "shard" ? "Shards" : "Cells");
  put($("pieces-said"), `${parts.sealing ? "All are over; what came out is put together. " : ""}A square is ${each === 1 ? `one ${known.unit}` : `${each} ${known.unit}s`}; they are sorted by what became of them.`);
  const map = $("map");
  map.setAttribute("aria-label", `Of ${counted(known.steps, known.unit)}: ${words}`);
  // One that is there at all has a square.
  const cells = kinds.flatMap(([kind, count]) => Array(count ? Math.max(1, Math.round(count / each)) : 0).fill(kind));
  sync(map, cells.map((kind, at) => ({ kind, at })), (cell) => cell.at, () => make("span"), (node, cell) => { node.className = `cell ${cell.kind}`; });
  sync($("legend"), kinds, ([kind]) => kind, ([kind]) => make("li", {}, make("span", { class: `cell ${kind}` }), make("span")), (item, [kind, count]) => put(item.lastChild, `${grouped(count)} ${kind}`));
  $("stages-box").hidden = !parts.stages.length;
  sync($("stages"), parts.stages, ([stage]) => stage, () => make("li", {}, make("span"), make("progress", { max: 1 }), make("span", { class: "share" }), make("span", { class: "note" })), (item, [stage, share]) => {
    const [name, bar, amount, note] = item.children;
    put(name, stage);
    bar.setAttribute("aria-label", stage);
    bar.value = Math.min(1, share);
    put(amount, percent(share));
    say(note, stage === parts.bottleneck ? "the others wait for it" : null);
  });
}

// --- curves -----------------------------------------------------------------------------------------------------------------

const CHARTS = [
  { name: "Refiner's loss", lines: ["refiner"] },
  { name: "Realism", lines: ["realism"] },
  { name: "Regularisation", lines: ["regularisation"] },
  { name: "Discriminator's loss", lines: ["discriminator"] },
  { name: "Discriminator right", lines: ["accuracy_on_real", "accuracy_on_refined"], share: true, key: "solid real, dashed refined, dotted chance" },
  { name: "Change of a pixel", lines: ["change"] },
];
const BOX = { width: 320, height: 130, left: 40, right: 8, top: 8, bottom: 20 };
let cursor = null; // a step, where somebody points at one

function curves() {
  const known = told.curves;
  $("curves").hidden = !known?.step.length;
  if (!known?.step.length) return;
  const from = known.source === "beats" ? `From what this page's dashboard has heard since it looks; the run's metrics.jsonl cannot be read here.` : known.width === 1 ? "Every step." : `A point is the mean of ${known.width} steps.`;
  put($("curves-said"), from);
  const there = CHARTS.filter((chart) => chart.lines.some((line) => known[line].some((value) => value !== null)));
  sync($("charts"), there, (chart) => chart.name, newChart, (box, chart) => plot(box, chart, known));
  table(known);
}

function newChart(chart) {
  const box = make("figure", { class: "chart" },
    make("figcaption", {}, make("span", { text: chart.name }), make("span", { class: "value" })),
    draw("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", tabindex: "0" }),
    chart.key ? make("p", { class: "key", text: chart.key }) : null);
  const svg = box.querySelector("svg");
  const point = (event) => {
    const steps = told.curves?.step ?? [];
    const frame = svg.getBoundingClientRect();
    const along = (((event.clientX - frame.left) / frame.width) * BOX.width - BOX.left) / (BOX.width - BOX.left - BOX.right);
    const wanted = along * steps.at(-1);
    cursor = steps.reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best), steps[0] ?? null);
    curves();
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerleave", () => { cursor = null; curves(); });
  svg.addEventListener("blur", () => { cursor = null; curves(); });
  svg.addEventListener("keydown", (event) => {
    const steps = told.curves?.step ?? [];
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const at = cursor === null ? steps.length - 1 : steps.indexOf(cursor);
    cursor = steps[Math.min(steps.length - 1, Math.max(0, at + by))] ?? null;
    curves();
  });
  return box;
}

/** Round values between which the lines lie. */
function ticks(low, high) {
  const raw = (high - low || Math.abs(high) || 1) / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= raw);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.max(1, Math.ceil(high / step) - first) + 1 }, (_, at) => Number(((first + at) * step).toPrecision(6)));
}

/** The last value at or before a step. */
function valueAt(known, line, step) {
  for (let at = known.step.length - 1; at >= 0; at--) if (known.step[at] <= step && known[line][at] !== null) return known[line][at];
  return null;
}

function plot(box, chart, known) {
  const values = chart.lines.flatMap((line) => known[line].filter((value) => value !== null));
  const marks = chart.share ? [0, 0.5, 1] : ticks(Math.min(...values), Math.max(...values));
  const [low, high, end] = [marks[0], marks.at(-1), Math.max(1, known.step.at(-1))];
  const x = (step) => BOX.left + (step / end) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.height - BOX.bottom - ((value - low) / (high - low || 1)) * (BOX.height - BOX.top - BOX.bottom);
  const say = chart.share ? percent : figure;
  const parts = marks.flatMap((mark) => [
    draw("line", { class: chart.share && mark === 0.5 ? "grid half" : "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(mark), y2: y(mark) }),
    draw("text", { x: BOX.left - 6, y: y(mark) + 4, "text-anchor": "end", text: chart.share ? percent(mark) : String(mark) }),
  ]);
  parts.push(draw("text", { x: BOX.left, y: BOX.height - 4, text: "step 0" }), draw("text", { x: BOX.width - BOX.right, y: BOX.height - 4, "text-anchor": "end", text: grouped(end) }));
  chart.lines.forEach((line, nth) => {
    const points = known.step.map((step, at) => (known[line][at] === null ? null : `${x(step).toFixed(1)},${y(known[line][at]).toFixed(1)}`)).filter(Boolean);
    parts.push(draw("polyline", { class: nth ? "line second" : "line", points: points.join(" ") }));
  });
  const at = cursor ?? known.step.at(-1);
  if (cursor !== null) parts.push(draw("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: BOX.top, y2: BOX.height - BOX.bottom }));
  const now = chart.lines.map((line) => valueAt(known, line, at));
  if (now[0] !== null) parts.push(draw("circle", { class: "dot", cx: x(at), cy: y(now[0]), r: 3 }));
  const svg = box.querySelector("svg");
  svg.replaceChildren(...parts);
  put(box.querySelector(".value"), `${now.map(say).join(" / ")}${cursor === null ? "" : `   at ${grouped(at)}`}`);
  const first = chart.lines.map((line) => known[line].find((value) => value !== null) ?? null);
  svg.setAttribute("aria-label", `${chart.name} over steps 0 to ${grouped(end)}: ${first.map(say).join(" and ")} at first, ${now.map(say).join(" and ")} at step ${grouped(at)}; between ${say(Math.min(...values))} and ${say(Math.max(...values))}. Arrow keys move along it.`);
}

/** A dozen rows say what the lines say. */
function table(known) {
  if (!$("numbers").closest("details").open) return;
  const count = Math.min(12, known.step.length);
  const at = Array.from({ length: count }, (_, nth) => Math.round((nth * (known.step.length - 1)) / Math.max(1, count - 1)));
  const lines = CHARTS.flatMap((chart) => chart.lines).filter((line) => known[line].some((value) => value !== null));
  const head = make("tr", {}, make("th", { scope: "col", text: "step" }), ...lines.map((line) => make("th", { scope: "col", text: line.replaceAll("_", " ") })));
  const rows = at.map((nth) => make("tr", {}, make("td", { text: grouped(known.step[nth]) }), ...lines.map((line) => make("td", { text: figure(valueAt(known, line, known.step[nth])) }))));
  $("numbers").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

// --- pictures ---------------------------------------------------------------------------------------------------------------

const picture = new Image();
let pictureOf = null; // which file of which job it holds, or is about to

function pictures() {
  const known = told.pictures;
  const sheets = known?.sheet ? known.sheets : [];
  $("pictures").hidden = !sheets.length;
  if (!sheets.length) return;
  const choice = $("sheet");
  const options = [{ file: "newest", label: "newest" }, ...[...sheets].reverse().map((one) => ({ file: one.file, label: one.step === null ? "at the end" : grouped(one.step) }))];
  sync(choice, options, (one) => one.file, (one) => make("option", { value: one.file }), (option, one) => put(option, one.label));
  const chosen = sheets.find((one) => one.file === choice.value) ?? sheets.at(-1);
  const wanted = `/pictures/${encodeURIComponent(shown)}/${chosen.file}?${chosen.stamp}`;
  if (pictureOf !== wanted) {
    pictureOf = wanted;
    picture.dataset.said = chosen.step === null ? "at the end of the run" : `at step ${grouped(chosen.step)}`;
    picture.src = wanted;
  }
  labels();
}

function tiles() {
  const sheet = told.pictures?.sheet;
  if (!sheet || !picture.naturalWidth) return;
  const rows = Math.max(0, Math.floor((picture.naturalHeight - sheet.top) / sheet.pitch));
  const numbers = Array.from({ length: rows }, (_, row) => row);
  const paint = (canvas, row, parts) => {
    [canvas.width, canvas.height] = [sheet.width, sheet.height];
    const brush = canvas.getContext("2d");
    for (const [column, from, to] of parts) {
      if (to > from) brush.drawImage(picture, sheet.lefts[column] + from, sheet.top + row * sheet.pitch, to - from, sheet.height, from, 0, to - from, sheet.height);
    }
    return brush;
  };
  const at = Math.round((sheet.width * $("divider").value) / 100);
  const build = () => make("div", { class: "pair" }, make("canvas", { role: "img" }), draw("svg", { "aria-hidden": "true" }));
  sync($("pairs"), numbers, (row) => row, build, (pair, row) => {
    const canvas = pair.firstChild;
    const brush = paint(canvas, row, [[0, 0, at], [1, at, sheet.width]]);
    if (at > 0 && at < sheet.width) {
      brush.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
      brush.fillRect(at - 1, 0, 2, sheet.height);
    }
  });
  sync($("reals"), numbers, (row) => row, () => make("canvas", { role: "img" }), (canvas, row) => {
    paint(canvas, row, [[2, 0, sheet.width]]);
    canvas.setAttribute("aria-label", `Real image ${row + 1}`);
  });
  $("divider").setAttribute("aria-valuetext", `${$("divider").value}% synthetic`);
  put($("pictures-said"), `${counted(rows, "sample")} ${picture.dataset.said}: synthetic left of the divider, refined right of it.`);
  labels();
}

/** What the synthetic images are labelled, over both sides of the divider: where a label lies, the refined image must have it, too. */
function labels() {
  const { labels: known, sheet } = told.pictures ?? {};
  $("labels-choice").hidden = !known;
  const isOn = Boolean(known && $("labels").checked);
  say($("marked"), isOn && known.points.length ? `Marked where the label has it: ${known.points.join(", ")}.` : null);
  [...$("pairs").children].forEach((pair, row) => {
    const one = known?.images[row];
    const said = one?.said ? `, labelled ${one.said}` : "";
    pair.firstChild.setAttribute("aria-label", `Sample ${row + 1}, synthetic left of the divider and refined right of it${said}`);
    pair.title = one?.said ?? "";
    const over = pair.lastChild;
    if (one && isOn) label(over, one, sheet);
    else over.replaceChildren();
  });
}

const MANY = 6; // points that are small enough beside each other

function label(over, { text, points }, { width, height }) {
  over.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const radius = height / (points.length > MANY ? 60 : 18);
  const parts = points.map(([x, y]) => draw("circle", { cx: x * width, cy: y * height, r: radius }));
  if (text) {
    const high = Math.max(9, height / 7);
    const room = Math.floor((width - 6) / (high * 0.55));
    parts.push(draw("text", { x: 3, y: height - high / 3, "font-size": high, text: text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text }));
  }
  over.replaceChildren(...parts);
}

picture.addEventListener("load", tiles);
$("labels").addEventListener("change", labels);
$("pictures").addEventListener("keydown", (event) => {
  if (event.key !== "l" || event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT" || $("labels-choice").hidden) return;
  $("labels").checked = !$("labels").checked;
  labels();
});
picture.addEventListener("error", () => put($("pictures-said"), "The pictures of this step cannot be read here."));
$("sheet").addEventListener("change", pictures);
$("divider").addEventListener("input", tiles);
for (const kind of ["pointerdown", "pointermove"]) {
  $("pairs").addEventListener(kind, (event) => {
    if (event.target.tagName !== "CANVAS" || (kind === "pointermove" && !event.buttons)) return;
    const frame = event.target.getBoundingClientRect();
    $("divider").value = Math.round(((event.clientX - frame.left) / frame.width) * 100);
    tiles();
  });
}

// --- time -------------------------------------------------------------------------------------------------------------------

/** What a fact is in time, if it is anything. */
function markOf(fact) {
  if (fact.class === "incident") return "incident";
  if (/^checkpoint at step \d+ saved$/.test(fact.what)) return "checkpoint";
  return /^(finished|paused|cancelled|failed)/.test(fact.what) ? "state" : null;
}

function timeline(known) {
  const generations = known.timeline ?? [];
  const marks = (known.facts ?? []).map((fact) => ({ at: fact.at, what: fact.what, kind: markOf(fact) })).filter((mark) => mark.kind);
  $("timeline").hidden = !generations.length;
  if (!generations.length) return;
  const time = (at) => Date.parse(at);
  const ends = generations.map((one) => (one.is_open ? Date.now() : time(one.opened) + 1000 * ((one.formed_seconds ?? 0) + one.ran_seconds)));
  const first = Math.min(...generations.map((one) => time(one.opened)), ...marks.map((mark) => time(mark.at)));
  const last = Math.max(...ends, ...marks.map((mark) => time(mark.at)), first + 1000);
  const wide = Math.max(300, $("lanes").clientWidth || 800);
  const x = (at) => 6 + ((at - first) / (last - first)) * (wide - 12);
  const parts = [draw("line", { class: "axis", x1: 0, x2: wide, y1: 52, y2: 52 }), draw("text", { x: 0, y: 78, text: clock(first) }), draw("text", { x: wide, y: 78, "text-anchor": "end", text: clock(last) })];
  generations.forEach((one, nth) => {
    const [from, to] = [x(time(one.opened)), x(ends[nth])];
    parts.push(draw("rect", { class: "bar", x: from, y: 8, width: Math.max(2, to - from), height: 26, rx: 4 }, draw("title", { text: said(one) })));
    if (to - from > 34) parts.push(draw("text", { x: from + 6, y: 25, text: to - from > 120 ? `${one.generation}: ${counted(one.workers.length, "worker")}` : String(one.generation) }));
  });
  for (const mark of marks) {
    const at = x(time(mark.at));
    const shape = mark.kind === "incident" ? draw("path", { class: "incident", d: `M${at} 44l6 11h-12z` }) : mark.kind === "checkpoint" ? draw("circle", { class: "checkpoint", cx: at, cy: 52, r: 3.5 }) : draw("rect", { class: "state", x: at - 4, y: 48, width: 8, height: 8 });
    shape.append(draw("title", { text: `${clock(mark.at)} ${mark.what}` }));
    parts.push(shape);
  }
  const incidents = marks.filter((mark) => mark.kind === "incident");
  const label = `${counted(generations.length, "generation")} and ${counted(incidents.length, "incident")} between ${clock(first)} and ${clock(last)}; the list below tells each.`;
  $("lanes").replaceChildren(draw("svg", { viewBox: `0 0 ${wide} 84`, role: "img", "aria-label": label }, ...parts));
  const all = [...generations.map((one) => ({ at: one.opened, sign: `generation ${one.generation}`, what: said(one) })), ...incidents.map((mark) => ({ at: mark.at, sign: "▲ incident", what: mark.what, isBad: true }))];
  all.sort((one, other) => time(other.at) - time(one.at));
  sync($("generations"), all.map((one, at) => ({ ...one, key: `${one.at} ${one.sign} ${all.length - at}` })), (one) => one.key,
    (one) => make("li", { class: one.isBad ? "incident" : "" }, make("time", { datetime: one.at, text: clock(one.at) }), make("span", { class: "class", text: one.sign }), make("span", { class: "what" })),
    (item, one) => put(item.lastChild, one.what));
}

function said(one) {
  const took = one.formed_seconds === null ? "" : `, on from step ${grouped(one.from_step)} after ${one.formed_seconds.toFixed(1)}s, for ${span(one.ran_seconds)}`;
  const end = one.is_open ? "; open" : one.why ? `; closed: ${one.why}` : "; all left by agreement";
  return `${counted(one.workers.length, "worker")} (${one.workers.join(", ")})${took}${end}`;
}

// --- what is told, and where one is -----------------------------------------------------------------------------------------

const DRAW = { coordinator, workers, jobs, job, curves, pictures, events: () => events($("events"), told.events?.items ?? [], false) };
const due = new Set();

/** Once for all that comes together. */
function soon(part) {
  if (!due.size) requestAnimationFrame(() => {
    const parts = [...due];
    due.clear();
    parts.forEach((name) => DRAW[name]());
  });
  due.add(part);
}

function listen() {
  source?.close();
  source = new EventSource(shown === null ? "/told" : `/told/${encodeURIComponent(shown)}`);
  source.addEventListener("open", () => { lostSince = null; away(); });
  source.addEventListener("error", () => {
    lostSince ??= performance.now();
    // A browser asks again by itself, unless the answer was a refusal.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
  for (const part of Object.keys(DRAW)) {
    source.addEventListener(part, (event) => {
      told[part] = JSON.parse(event.data);
      soon(part);
    });
  }
}

function go(isFirst) {
  const named = location.hash.match(/^#\/job\/(.+)$/);
  let wanted = null;
  try { wanted = named ? decodeURIComponent(named[1]) : null; } catch { /* no name: the overview */ }
  if (wanted === shown && !isFirst) return;
  shown = wanted;
  for (const part of ["job", "curves", "pictures"]) delete told[part];
  [cursor, pictureOf] = [null, null];
  picture.removeAttribute("src");
  $("sheet").value = "newest";
  for (const part of ["times", "pieces", "curves", "pictures", "timeline", "checkpoints", "job-reason", "job-imbalance"]) $(part).hidden = true;
  for (const list of ["figures", "charts", "pairs", "reals", "saved", "generations", "job-events"]) $(list).replaceChildren();
  for (const line of ["job-line", "progress-said", "job-state"]) put($(line), "");
  $("overview").hidden = shown !== null;
  $("job").hidden = shown === null;
  put($("job-title"), shown ?? "");
  document.title = shown === null ? "Sumac" : `${shown} · Sumac`;
  if (!isFirst) (shown === null ? $("main") : $("job-title")).focus();
  scrollTo(0, 0);
  listen();
}

for (const box of document.querySelectorAll(".details-too")) {
  box.addEventListener("change", () => {
    detailsToo = box.checked;
    for (const other of document.querySelectorAll(".details-too")) other.checked = detailsToo;
    ["events", "job"].forEach(soon);
  });
}
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
$("numbers").closest("details").addEventListener("toggle", () => told.curves && table(told.curves));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tiles);
addEventListener("hashchange", () => go(false));
addEventListener("resize", () => soon("job"));
setInterval(() => {
  document.querySelectorAll("[data-aged]").forEach(grow);
  away();
}, 500);
go(true);
