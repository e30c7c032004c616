// Documents and the answers that came from them, and which answers a change of a document would end.

import { confirmed, get, post } from "./api.js";
import { source } from "./answers.js";
import { announce, count, counted, cut, empty, failed, h, head, loading, s } from "./dom.js";

/** How many answers the graph shows. */
const DRAWN = 12;

export async function documents(main, parameters, signal) {
  const search = h("input", { type: "search", id: "search", placeholder: "Name of a document" });
  const list = h("div", {}), shown = h("div", { class: "stack" });
  const chosen = { corpus: parameters.get("corpus") ?? "default", document: parameters.get("document") };
  const open = async () => {
    for (const button of list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.name === chosen.document && button.dataset.corpus === chosen.corpus);
    }
    if (!chosen.document) return;
    shown.replaceChildren(loading(chosen.document));
    try {
      const found = await get("/admin/dependants", chosen, signal);
      if (!signal.aborted) show(shown, found, fresh);
    } catch (error) {
      if (!signal.aborted) shown.replaceChildren(failed(error, open));
    }
  };
  const fresh = async () => { await find(); await open(); };
  const find = async () => {
    const found = await get("/admin/contents", { search: search.value.trim() }, signal);
    if (signal.aborted) return;
    if (found.documents.length === 0) {
      list.replaceChildren(search.value.trim()
        ? h("p", { class: "none" }, "No document has this name.")
        : empty("No documents yet", h("p", {}, "Name the sources of an answer in the field wellspring.sources, and they appear here.")));
      if (!chosen.document) shown.replaceChildren();
      return;
    }
    list.replaceChildren(h("ul", { class: "rows" }, found.documents.map((one) => h("li", {}, h("button", {
      type: "button", class: "row", "data-name": one.document, "data-corpus": one.corpus, "aria-pressed": "false",
      onclick: () => {
        const place = new URLSearchParams({ corpus: one.corpus, document: one.document });
        history.replaceState(null, "", `#documents?${place}`);
        Object.assign(chosen, { corpus: one.corpus, document: one.document });
        open();
      },
    }, h("span", { class: "title" }, one.document, one.corpus !== "default" && h("span", { class: "soft" }, ` in ${one.corpus}`)),
    h("span", { class: "meta" }, `${counted(one.answers, "answer")} · ${counted(one.hits, "hit")}`))))),
    found.is_part ? h("p", { class: "soft small" }, "Only part of the store was searched; find others by name.") : "");
    chosen.document ??= found.documents[0].document;
    if (!parameters.get("document")) chosen.corpus = found.documents.find((one) => one.document === chosen.document)?.corpus ?? chosen.corpus;
  };
  let pause;
  search.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(() => find().then(open), 250); });
  signal.addEventListener("abort", () => clearTimeout(pause));
  await find();
  main.replaceChildren(
    head("Documents", "The documents that answers came from. A change to a document ends every answer that depends on it.",
      h("div", { class: "search" }, h("label", { for: "search", class: "unseen" }, "Search documents"), search)),
    h("div", { class: "grid" }, h("div", { class: "w4" }, list), h("div", { class: "w8" }, shown)));
  await open();
}

function show(host, found, fresh) {
  const { corpus, document: name, entries, answers, is_held: isHeld } = found;
  const act = (path, body, text) => async () => {
    const done = await post(path, body);
    announce(done.dropped === undefined ? text : `${text}, ${counted(done.dropped, "answer")} ended`);
    await fresh();
  };
  const invalidate = async () => {
    const title = `Did ${name} change?`, text = `${counted(answers, "answer")} will no longer be served, and will be made again when asked for.`;
    if (await confirmed(title, text, "Invalidate")) await act("/admin/invalidate", { corpus, changes: [{ document: { id: name } }] }, "Invalidated")();
  };
  const hold = async () => {
    const text = `Until it is released, nothing that depends on it is served or stored: ${counted(answers, "answer")} now.`;
    if (await confirmed(`Hold ${name}?`, text, "Hold")) await act("/admin/hold", { corpus, document: name }, "Held")();
  };
  const picture = h("div", {});
  host.replaceChildren(h("section", { class: "card" },
    h("div", { class: "card-head" },
      h("div", {}, h("h2", {}, name, " ", isHeld && h("span", { class: "badge bad" }, "held")),
        h("p", { class: "soft small" }, isHeld ? "Nothing that depends on it is served until it is released." : `${counted(answers, "answer")} would end with a change`)),
      h("div", { class: "bar" },
        isHeld
          ? h("button", { type: "button", onclick: act("/admin/release", { corpus, document: name }, "Released") }, "Release")
          : h("button", { type: "button", onclick: hold }, "Hold"),
        h("button", { type: "button", class: "danger", onclick: invalidate, disabled: answers === 0 }, "Invalidate"))),
    picture));
  if (entries.length) picture.append(graph(picture, found));
  else picture.append(h("p", { class: "none" }, isHeld ? "Its answers wait for the release." : "No stored answer depends on it now."));
  if (answers > DRAWN) picture.append(h("p", { class: "soft small" }, `The ${DRAWN} with the most hits of ${count(answers)}.`));
}

/** The document, its answers, and the other documents of these answers, from left to right. */
function graph(host, { corpus, document: name, entries }) {
  const width = Math.max(280, host.clientWidth), isNarrow = width < 560;
  const shown = entries.slice(0, DRAWN);
  const others = [...new Set(shown.flatMap((entry) => entry.dependencies.map(source)
    .filter(([kind, other]) => kind === "document" && other !== name).map(([, other]) => other)))].slice(0, DRAWN);
  const step = 40, tall = 28, columns = isNarrow || others.length === 0 ? 2 : 3;
  const gap = isNarrow ? 28 : 56, box = (width - gap * (columns - 1)) / columns;
  const rows = Math.max(shown.length, columns === 3 ? others.length : 1);
  const height = rows * step;
  const y = (index, of) => (height - of * step) / 2 + index * step + (step - tall) / 2;
  const x = (column) => column * (box + gap);
  const picture = s("svg", { class: "chart graph", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${name} and the answers that depend on it` });
  const links = s("g", { "aria-hidden": "true" });
  picture.append(links);
  const link = (from, to, kind) => {
    const middle = (from[0] + to[0]) / 2;
    links.append(s("path", { class: `link ${kind}`, d: `M${from[0]} ${from[1]}C${middle} ${from[1]} ${middle} ${to[1]} ${to[0]} ${to[1]}` }));
  };
  const node = (column, top, text, kind, href) => {
    const letters = Math.floor((box - 22) / 6.6);
    const body = [s("title", {}, text), s("rect", { x: x(column) + 1, y: top, width: box - 2, height: tall, rx: 8 }),
      s("text", { x: x(column) + 11, y: top + 18 }, cut(text, letters))];
    return href ? s("a", { class: `node ${kind}`, href, "aria-label": text }, body) : s("g", { class: `node ${kind}` }, body);
  };
  const middle = y(0, 1) + tall / 2;
  shown.forEach((entry, index) => {
    const top = y(index, shown.length), at = top + tall / 2;
    link([x(0) + box - 1, middle], [x(1) + 1, at], "strong");
    picture.append(node(1, top, entry.question, "", `#answers?${new URLSearchParams({ search: entry.entry })}`));
    if (columns < 3) return;
    const linked = new Set(entry.dependencies.map((dependency) => source(dependency)[1]));
    others.forEach((other, row) => {
      if (linked.has(other)) link([x(1) + box - 1, at], [x(2) + 1, y(row, others.length) + tall / 2], "");
    });
  });
  picture.append(node(0, y(0, 1), name, "center"));
  if (columns === 3) {
    others.forEach((other, row) => picture.append(
      node(2, y(row, others.length), other, "document", `#documents?${new URLSearchParams({ corpus, document: other })}`)));
  }
  return picture;
}
