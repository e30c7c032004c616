// The overview: what is saved, how often the cache answers, how quickly, and what it holds.

import { get } from "./api.js";
import { lines, shares, times } from "./charts.js";
import { bytes, clock, count, counted, dollars, duration, empty, h, head, percent, span, wide } from "./dom.js";

const EVERY = 4_000;
/** How many samples are joined into one point of a chart. */
const JOINED = 5;

export async function overview(main, _, signal) {
  const body = h("div", { class: "stack" });
  const update = async () => {
    const data = await get("/admin/overview", {}, signal);
    if (signal.aborted) return;
    // A chart that someone is reading must not be replaced.
    if (body.contains(document.activeElement) || body.matches(":hover")) {
      if (body.childElementCount && Date.now() - drawn < 5 * EVERY) return;
    }
    drawn = Date.now();
    draw(body, data);
  };
  let drawn = 0;
  const first = await get("/admin/overview", {}, signal);
  main.replaceChildren(head("Overview", "What this gateway did since it started, and in the last ten minutes."), body);
  draw(body, first);
  drawn = Date.now();
  state("live", `Up ${span(first.uptime_secs * 1000)}`);
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      await update();
      state("live", "Live");
    } catch (error) {
      if (!signal.aborted) state("bad", error.status === 0 ? "Not reachable" : error.message);
    }
  }, EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function state(name, text) {
  document.getElementById("state").dataset.state = name;
  const shown = document.getElementById("state-text");
  if (shown.textContent !== text) shown.textContent = text;
}

function draw(body, data) {
  const { metrics } = data;
  const bypasses = Object.values(metrics.bypasses).reduce((sum, one) => sum + one, 0);
  const hits = metrics.exact_hits + metrics.semantic_hits;
  const lookups = hits + metrics.misses + bypasses;
  if (lookups === 0 && !data.store?.entries) {
    body.replaceChildren(firstSteps(), h("div", { class: "grid" }, exactOnly(data), holdings(data, "w12")));
    return;
  }
  const grid = h("div", { class: "grid" });
  body.replaceChildren(grid);
  const points = joined(data.samples);
  if (data.unshown) grid.append(exactOnly(data));
  grid.append(
    figure("Answered from the cache", percentage(hits / lookups), `${count(hits)} of ${counted(lookups, "lookup")}`),
    ...saved(metrics),
    figure("A hit takes", time(fastest(metrics)), `99 % of hits stay below ${quantity(slowest(metrics))}`));
  const rate = h("section", { class: "card w6" }, cardHead("Hit rate", "last 10 minutes"));
  const latency = h("section", { class: "card w6" }, cardHead("Time of a hit", "half (line) and 99 % (dots) are below"));
  grid.append(rate, latency);
  charts(rate, latency, points);
  grid.append(...[tiers(metrics, bypasses, lookups), judged(data), guarded(data), holdings(data, "w4"), upstreams(data)].filter(Boolean));
}

/** Explains why no other wording is a hit, which no one would guess from the numbers. */
const exactOnly = ({ unshown }) => unshown
  ? h("section", { class: "card w12" }, h("h2", {}, "Only exact matches are served"), h("p", { class: "note" }, unshown))
  : null;

const figure = (name, value, note) =>
  h("section", { class: "card w3 figure" }, h("h2", { class: "name" }, name), h("p", { class: "value" }, value), h("p", { class: "foot" }, note));
const cardHead = (title, note) => h("div", { class: "card-head" }, h("h2", {}, title), h("p", { class: "soft small" }, note));
const percentage = (share) => (Number.isFinite(share) ? [(100 * share).toFixed(1), h("small", {}, "%")] : "–");
const time = (micros) => { const [number, unit] = duration(micros); return [number, h("small", {}, unit)]; };
const quantity = (micros) => duration(micros).join(" ");

const of = (metrics, name) => metrics.latency[name] ?? { count: 0 };
/** The median of all hits lies in the tier with the most hits. */
const fastest = (metrics) => {
  const [exact, semantic] = [of(metrics, "exact_hit"), of(metrics, "semantic_hit")];
  return exact.count + semantic.count === 0 ? null : (exact.count >= semantic.count ? exact : semantic).p50_us;
};
const slowest = (metrics) => {
  const known = [of(metrics, "exact_hit"), of(metrics, "semantic_hit")].filter((tier) => tier.count > 0);
  return known.length ? Math.max(...known.map((tier) => tier.p99_us)) : null;
};

function saved(metrics) {
  const tokens = metrics.prompt_tokens_saved + metrics.completion_tokens_saved;
  const parts = `${count(metrics.prompt_tokens_saved)} sent, ${count(metrics.completion_tokens_saved)} received`;
  const money = metrics.cost_saved_usd > 0
    ? figure("Saved", dollars(metrics.cost_saved_usd), "the cost that hits saved")
    : figure("Calls saved", count(metrics.exact_hits + metrics.semantic_hits), "answers that no model made again");
  return [money, figure("Tokens saved", count(tokens), parts)];
}

/** Points of ten seconds, made from samples of two seconds. */
function joined(samples) {
  const points = [];
  for (let end = samples.length; end > 0; end -= JOINED) {
    const part = samples.slice(Math.max(0, end - JOINED), end);
    const sum = (name) => part.reduce((all, sample) => all + sample[name], 0);
    const top = (name) => part.reduce((most, sample) => Math.max(most, sample[name] ?? 0), 0) || null;
    const middle = part.map((sample) => sample.hit_p50_us).filter((value) => value !== null).sort((a, b) => a - b);
    const hits = sum("exact_hits") + sum("semantic_hits");
    const lookups = hits + sum("misses") + sum("bypasses");
    points.unshift({
      at: part.at(-1).at, hits, lookups, rate: lookups ? hits / lookups : null,
      p50: middle[Math.floor(middle.length / 2)] ?? null, p99: top("hit_p99_us"),
    });
  }
  return points;
}

function charts(rate, latency, points) {
  const labels = points.map((point) => clock(point.at));
  if (!points.some((point) => point.lookups > 0)) {
    rate.append(h("p", { class: "none" }, "Nothing was asked in the last ten minutes."));
    latency.append(h("p", { class: "none" }, "No answer was served in the last ten minutes."));
    return;
  }
  const asked = points.reduce((sum, point) => sum + point.lookups, 0);
  const hits = points.reduce((sum, point) => sum + point.hits, 0);
  rate.append(lines(rate, {
    label: `Hit rate of the last ten minutes: ${percent(hits / asked)} of ${counted(asked, "lookup")}. Use the arrow keys to read single points.`,
    labels, scale: shares,
    series: [{ values: points.map((point) => point.rate), hasArea: true }],
    describe: (index) => points[index].lookups
      ? `${labels[index]} · ${percent(points[index].rate)} of ${counted(points[index].lookups, "lookup")} in 10 s`
      : `${labels[index]} · nothing was asked`,
  }));
  const values = points.flatMap((point) => [point.p50, point.p99]);
  latency.append(lines(latency, {
    label: "Time of hits in the last ten minutes: the median and the 99th percentile. Use the arrow keys to read single points.",
    labels, scale: times(values),
    series: [{ values: points.map((point) => point.p99), class: "second" }, { values: points.map((point) => point.p50) }],
    describe: (index) => points[index].p50 === null
      ? `${labels[index]} · no hit`
      : `${labels[index]} · half below ${quantity(points[index].p50)}, 99 % below ${quantity(points[index].p99)}`,
  }));
}

function tiers(metrics, bypasses, lookups) {
  const parts = [
    ["exact", "Same question", metrics.exact_hits], ["semantic", "Same meaning", metrics.semantic_hits],
    ["miss", "Not known", metrics.misses], ["bypass", "Cache not used", bypasses],
  ];
  const bar = h("div", { class: "tiers", role: "img", "aria-label": parts.map(([, name, number]) => `${name}: ${percent(number / lookups)}`).join(", ") },
    parts.filter(([, , number]) => number > 0).map(([tier, , number]) => wide(h("span", { class: `t-${tier}` }), number / lookups)));
  return h("section", { class: "card w12" }, cardHead("Where answers came from", "since the start"), bar,
    h("ul", { class: "legend" }, parts.map(([tier, name, number]) =>
      h("li", {}, h("i", { class: `t-${tier}` }), name, h("b", {}, percent(number / lookups)), h("span", { class: "soft" }, count(number))))),
    reasons("Not used because of", metrics.bypasses));
}

const reasons = (title, counts) => {
  const known = Object.entries(counts).filter(([, number]) => number > 0);
  return known.length > 0 && h("p", { class: "soft small", }, `${title}: `, known.map(([name, number]) => `${name.replaceAll("_", " ")} ${count(number)}`).join(", "));
};

const pairs = (all) => h("dl", { class: "pairs" }, all.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

function guarded({ metrics, feedback, store }) {
  const refused = Object.values(metrics.refused).reduce((sum, one) => sum + one, 0);
  const held = store?.corpora.reduce((sum, corpus) => sum + corpus.holds, 0) ?? 0;
  return h("section", { class: "card w4" }, h("h2", {}, "Kept fresh"), pairs([
    ["Changes reported", count(metrics.changes)],
    ["Answers ended by them", count(metrics.dropped)],
    ["Stale answers not stored", count(refused)],
    ["Changes that met no answer", count(metrics.unmatched)],
    held > 0 && ["Documents held", count(held)],
    ["Look-alikes turned away", count(metrics.rejected_candidates)],
    ["Called wrong by users", feedback.right + feedback.wrong ? `${count(feedback.wrong)} of ${count(feedback.right + feedback.wrong)}` : "none judged"],
  ]));
}

function judged({ judge, metrics }) {
  if (!judge) return null;
  const { right = 0, wrong = 0, unsure = 0 } = metrics.judged;
  const calls = `${count(judge.calls_per_hour)} calls an hour, ${count(judge.calls_left)} left`;
  return h("section", { class: "card w12" }, cardHead(`Judge: ${judge.name}`, calls), pairs([
    ["Calls made", count(metrics.judge_calls)],
    ["Answers approved, refused, unsure", `${count(right)}, ${count(wrong)}, ${count(unsure)}`],
    ["Served because it approved", count(metrics.verifications.feedback?.accepted ?? 0)],
    ["Waiting for it", count(judge.waiting)],
    metrics.judge_dropped > 0 && ["Dropped because the queue was full", count(metrics.judge_dropped)],
    metrics.unjudged > 0 && ["Failed", count(metrics.unjudged)],
  ]));
}

function waits({ up, round_trip_us, slowest_round_trip_us, command_timeout_us, scheduling_delay_us, late_replies, late_wakeups }) {
  return [
    ["Store's replies take", up ? `${quantity(round_trip_us)}, at most ${quantity(slowest_round_trip_us)} lately` : "not used now"],
    ["Lookups wait for them", `up to ${quantity(command_timeout_us)}`],
    ["This process runs late by", `${quantity(scheduling_delay_us)} at most lately`],
    late_replies > 0 && ["Replies that came too late", count(late_replies)],
    late_wakeups > 0 && ["Replies read too late", count(late_wakeups)],
  ];
}

function holdings({ store, connection, index_bytes, threshold, version }, width) {
  if (!store) return h("section", { class: `card ${width}` }, h("h2", {}, "Store"), h("p", { class: "note" }, "The store does not answer. Meanwhile, requests go to the upstream."), connection && pairs(waits(connection)));
  const meter = (part, whole) => whole > 0 && h("div", { class: "meter", "aria-hidden": "true" }, wide(h("span", {}), Math.min(1, part / whole)));
  return h("section", { class: `card ${width}` }, h("h2", {}, "Store"),
    store.unwritable && h("p", { class: "note" }, `Nothing new can be stored at present; stored answers are still served: ${store.unwritable}.`),
    pairs([["Answers", store.max_entries ? `${count(store.entries)} of ${count(store.max_entries)}` : count(store.entries)]]), meter(store.entries, store.max_entries),
    pairs([["Size", store.max_bytes ? `${bytes(store.bytes)} of ${bytes(store.max_bytes)}` : bytes(store.bytes)]]), meter(store.bytes, store.max_bytes),
    pairs([
      ["Index in memory", bytes(index_bytes)], ["Evicted", count(store.evictions)], ["Expired", count(store.expirations)],
      ...connection ? waits(connection) : [],
      store.pending_invalidations > 0 && ["Invalidations pending", count(store.pending_invalidations)],
      ["Least similarity", threshold === null ? "exact matches only" : threshold.toFixed(2)], ["Version", version],
    ]));
}

function upstreams({ upstreams: calls, in_flight, metrics }) {
  const rows = calls.map(({ upstream, status, count: number }) => {
    const kind = status === null || status >= 500 ? "bad" : status < 400 ? "good" : "";
    return [h("dt", {}, upstream, " ", h("span", { class: `badge ${kind}` }, status ?? "no answer")), h("dd", {}, count(number))];
  });
  const miss = metrics.latency.miss;
  return h("section", { class: "card w4" }, cardHead("Upstreams", `${counted(in_flight, "request")} in flight`),
    rows.length ? h("dl", { class: "pairs" }, rows) : h("p", { class: "none" }, "No upstream has been asked yet."),
    miss.count > 0 && h("p", { class: "soft small" }, `A miss costs ${quantity(miss.p50_us)} in addition to the upstream's answer; 99 % stay below ${quantity(miss.p99_us)}.`));
}

function firstSteps() {
  const base = `${location.protocol}//${location.hostname}:7331/v1`;
  return empty("Nothing has been asked yet",
    h("p", {}, "Point a client at the proxy, and its answers show up here. The second time, they come from the cache."),
    h("pre", {}, h("code", {}, `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}")`)));
}
