// Charts of numbers as inline SVG. Each can be read with a pointer, with the arrow keys, and as a sentence.

import { h, s } from "./dom.js";

const LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 22;

/** How wide a chart may be drawn, so that text keeps its size on every screen. */
const room = (host) => Math.max(260, Math.round(host.clientWidth || 600));

const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** Runs of points with a value: a gap in the data is a gap in the line. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point[1] === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length > 0);
}

/**
 * Lines over time. `series`: [{ values, class, hasArea }], one value or null for each of `labels`;
 * `scale`: { at: value -> 0..1, ticks: [[value, text]] }; `describe`: index -> sentence.
 */
export function lines(host, { label, series, labels, scale, describe, height = 200 }) {
  const width = room(host), bottom = height - BOTTOM, right = width - RIGHT;
  const x = (index) => LEFT + (labels.length < 2 ? 1 : index / (labels.length - 1)) * (right - LEFT);
  const y = (value) => bottom - scale.at(value) * (bottom - TOP);
  const chart = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": label });
  for (const [value, text] of scale.ticks) {
    chart.append(
      s("line", { class: "rule", x1: LEFT, x2: right, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  const last = labels.length - 1;
  const middle = Math.floor(last / 2);
  const marks = [[0, "start"], ...middle > 0 ? [[middle, "middle"]] : [], [last, "end"]];
  for (const [index, anchor] of last > 0 ? marks : []) {
    chart.append(s("text", { x: x(index), y: height - 5, "text-anchor": anchor }, labels[index]));
  }
  for (const one of series) {
    for (const run of runs(one.values.map((value, index) => [x(index), value === null ? null : y(value)]))) {
      if (one.hasArea && run.length > 1) {
        chart.append(s("path", { class: "area", d: `${path(run)}L${run.at(-1)[0]} ${bottom}L${run[0][0]} ${bottom}Z` }));
      }
      chart.append(run.length > 1
        ? s("path", { class: `line ${one.class ?? ""}`, d: path(run) })
        : s("circle", { class: "knob", cx: run[0][0], cy: run[0][1], r: 2 }));
    }
  }
  const readout = h("p", { class: "readout", "aria-live": "off" }, last >= 0 ? describe(last) : "");
  const cross = s("line", { class: "cross", y1: TOP, y2: bottom, visibility: "hidden" });
  chart.append(cross);
  let chosen = last;
  const choose = (index) => {
    chosen = Math.max(0, Math.min(last, index));
    for (const name of ["x1", "x2"]) cross.setAttribute(name, x(chosen));
    cross.setAttribute("visibility", "visible");
    readout.textContent = describe(chosen);
  };
  const rest = () => {
    cross.setAttribute("visibility", "hidden");
    readout.textContent = last >= 0 ? describe(last) : "";
  };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const share = ((event.clientX - box.left) * (width / box.width) - LEFT) / (right - LEFT);
    choose(Math.round(share * last));
  });
  chart.addEventListener("pointerleave", rest);
  chart.addEventListener("blur", rest);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    readout.setAttribute("aria-live", "polite");
    choose(chosen + step);
  });
  return h("figure", {}, chart, readout);
}

/** 0 to 100 %. */
export const shares = { at: (value) => value, ticks: [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]] };

/** Times in microseconds on a logarithmic scale, as wide as the values need. */
export function times(values) {
  const known = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...known, 100)));
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(...known, 10_000))));
  const ticks = [];
  for (let power = low; power <= high; power += 1) {
    const value = 10 ** power;
    const text = value < 1e3 ? `${value} µs` : value < 1e6 ? `${value / 1e3} ms` : `${value / 1e6} s`;
    ticks.push([value, text]);
  }
  return { at: (value) => Math.max(0, (Math.log10(Math.max(value, 1)) - low) / (high - low)), ticks };
}

/** Hits by similarity as columns, with the false hits at the bottom of each and the threshold as a line. */
export function columns(host, { label, buckets, threshold, height = 220 }) {
  const width = room(host), bottom = height - BOTTOM, right = width - RIGHT;
  const low = buckets[0].from, high = 1;
  const x = (similarity) => LEFT + ((similarity - low) / (high - low)) * (right - LEFT);
  const most = Math.max(1, ...buckets.map((bucket) => Math.max(bucket.hits, bucket.wrong)));
  const y = (number) => bottom - (number / most) * (bottom - TOP);
  const chart = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const number of new Set([0, Math.ceil(most / 2), most])) {
    chart.append(
      s("line", { class: "rule", x1: LEFT, x2: right, y1: y(number), y2: y(number) }),
      s("text", { x: LEFT - 8, y: y(number) + 4, "text-anchor": "end" }, number));
  }
  const thick = Math.max(2, x(low + 0.01) - LEFT - 2);
  for (const bucket of buckets) {
    const off = bucket.from + 0.005 < threshold ? "off" : "";
    const column = (number, kind) => number > 0 && chart.append(
      s("rect", { class: `column ${kind} ${off}`, x: x(bucket.from) + 1, y: y(number), width: thick, height: bottom - y(number), rx: 2 }));
    column(bucket.hits, "");
    column(bucket.wrong, "wrong");
  }
  for (let tenth = low; tenth <= high + 1e-9; tenth += 0.1) {
    chart.append(s("text", { x: x(tenth), y: height - 5, "text-anchor": "middle" }, tenth.toFixed(1)));
  }
  chart.append(s("line", { class: "mark", x1: x(threshold), x2: x(threshold), y1: TOP, y2: bottom }));
  return chart;
}

/** Where candidates lie on the scale of similarity, with the threshold if there is one. */
export function scale(host, { label, threshold, candidates, height = 74 }) {
  const width = room(host), middle = 34;
  const low = Math.min(0.5, ...candidates.map((candidate) => Math.floor(candidate.similarity * 10) / 10));
  const x = (similarity) => 10 + ((similarity - low) / (1 - low)) * (width - 24);
  const chart = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  chart.append(s("line", { class: "rule", x1: x(low), x2: x(1), y1: middle, y2: middle }));
  const steps = width < 480 ? 0.2 : 0.1;
  for (let tick = 1; tick >= low - 1e-9; tick -= steps) {
    chart.append(s("text", { x: x(tick), y: middle + 26, "text-anchor": "middle" }, tick.toFixed(1)));
  }
  if (threshold !== null) chart.append(
    s("line", { class: "mark", x1: x(threshold), x2: x(threshold), y1: 16, y2: middle + 10 }),
    s("text", { x: x(threshold), y: 11, "text-anchor": threshold > 0.9 ? "end" : "middle" }, `threshold ${threshold.toFixed(2)}`));
  for (const candidate of candidates) {
    chart.append(s("circle", { class: `knob ${candidate.accepted ? "" : "out"}`, cx: x(candidate.similarity), cy: middle, r: 6 }));
  }
  return chart;
}
