// Helpers for elements, and for the format of numbers, sizes and times.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; strings among `children` become text nodes. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** An SVG element. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Sets a width in percent; the page's policy does not allow style attributes. */
export function wide(element, share) {
  element.style.width = `${(100 * share).toFixed(2)}%`;
  return element;
}

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => (number < 100_000 ? whole.format(number) : compact.format(number));
export const percent = (share, digits = 1) => (Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "–");
export const dollars = (amount) => `$${amount.toFixed(amount < 10 ? 4 : 2)}`;
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text);

export function bytes(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${unit && size < 100 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** A time in microseconds, as [number, unit]. */
export function duration(micros) {
  if (micros === null || micros === undefined) return ["–", ""];
  if (micros < 1_000) return [String(Math.round(micros)), "µs"];
  if (micros < 1e6) return [(micros / 1e3).toFixed(micros < 1e4 ? 1 : 0), "ms"];
  return [(micros / 1e6).toFixed(1), "s"];
}

export function span(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${seconds} s`;
}

export const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");

export const loading = (what) => h("p", { class: "loading", role: "status" }, `Loading ${what}…`);
export const empty = (title, ...children) => h("div", { class: "empty" }, h("h2", {}, title), ...children);

export function failed(error, again) {
  return h("div", { class: "error", role: "alert" },
    h("h2", {}, "This cannot be shown at the moment"),
    h("p", {}, error.message),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}

export const head = (title, text, ...actions) =>
  h("div", { class: "head" }, h("div", {}, h("h1", {}, title), text && h("p", {}, text)), ...actions);

/** Announces `text` to assistive technology without moving the focus. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
