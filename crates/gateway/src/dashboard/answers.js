// Stored answers: search, their sources, and how to remove one.

import { confirmed, get, post } from "./api.js";
import { announce, counted, empty, failed, h, head, loading, span } from "./dom.js";

/** What a dependency is, as [kind, name, note]. */
export function source(dependency) {
  if (dependency.document) return ["document", dependency.document.id, dependency.document.version];
  if (dependency.chunk) return ["document", dependency.chunk.document, `#${dependency.chunk.hash.slice(0, 8)}`];
  const [[kind, name]] = Object.entries(dependency);
  return [kind, name, null];
}

export function sourceChip(dependency, corpus) {
  const [kind, name, note] = source(dependency);
  const text = [kind === "document" ? name : `${kind} ${name}`, note && h("span", { class: "soft" }, ` ${note}`)];
  if (kind !== "document") return h("li", { class: "chip" }, text);
  return h("li", {}, h("a", { class: "chip", href: `#documents?${new URLSearchParams({ corpus, document: name })}` }, text));
}

export async function answers(main, parameters, signal) {
  const search = h("input", { type: "search", id: "search", placeholder: "Question, answer, source or id", value: parameters.get("search") ?? "" });
  const host = h("div", { class: "stack" });
  let asked = new AbortController();
  const ask = async () => {
    asked.abort();
    asked = new AbortController();
    const mine = asked.signal;
    host.replaceChildren(loading("answers"));
    try {
      const page = await get("/admin/entries", { search: search.value.trim() }, mine);
      if (mine.aborted || signal.aborted) return;
      list(host, search, page, ask);
    } catch (error) {
      if (!mine.aborted) host.replaceChildren(failed(error, ask));
    }
  };
  let pause;
  search.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(ask, 250); });
  signal.addEventListener("abort", () => { clearTimeout(pause); asked.abort(); });
  main.replaceChildren(
    head("Answers", "What the cache would serve, with the documents that each answer came from.",
      h("div", { class: "search" }, h("label", { for: "search", class: "unseen" }, "Search answers"), search)),
    host);
  await ask();
}

function list(host, search, { entries, next }, again) {
  const words = search.value.trim();
  if (entries.length === 0 && !next) {
    host.replaceChildren(words
      ? empty("Nothing matches", h("p", {}, `No stored answer has “${words}” in its question, text or sources.`))
      : empty("No answers are stored", h("p", {}, "They appear here after the proxy has forwarded them.")));
    announce("No answers");
    return;
  }
  const rows = h("ul", { class: "rows" }, entries.map((entry) => row(entry, again)));
  const more = h("button", { type: "button", hidden: !next }, "Show more");
  more.addEventListener("click", async () => {
    more.disabled = true;
    const page = await get("/admin/entries", { search: words, after: next });
    rows.append(...page.entries.map((entry) => row(entry, again)));
    next = page.next;
    more.hidden = !next;
    more.disabled = false;
  });
  host.replaceChildren(rows, h("div", {}, more));
  announce(`${counted(entries.length, "answer")}${next ? ", and more" : ""}`);
}

function row(entry, again) {
  const now = Date.now();
  const documents = entry.dependencies.filter((dependency) => source(dependency)[0] === "document").length;
  const left = entry.expires_at - now;
  const remove = async () => {
    if (!(await confirmed("Remove this answer?", "The next caller who asks has it made again.", "Remove"))) return;
    await post("/admin/invalidate", { corpus: entry.corpus, changes: [{ entry: entry.entry }] });
    announce("The answer was removed");
    await again();
  };
  const why = new URLSearchParams({ question: entry.question, corpus: entry.corpus, scope: entry.scope });
  return h("li", {}, h("details", {},
    h("summary", {},
      h("span", { class: "title" }, entry.question),
      h("span", { class: "meta" }, `${counted(entry.hits, "hit")} · ${counted(documents, "source")} · ${left > 0 ? `${span(left)} left` : "at its end"}`)),
    h("div", { class: "body" },
      h("p", { class: "answer" }, entry.answer),
      entry.dependencies.length > 0
        ? h("ul", { class: "chips", "aria-label": "Sources" }, entry.dependencies.map((dependency) => sourceChip(dependency, entry.corpus)))
        : h("p", { class: "soft small" }, "No sources were named, so only time ends this answer."),
      h("p", { class: "soft small" }, `Stored ${span(now - entry.created_at)} ago in corpus ${entry.corpus}, scope `, h("code", {}, entry.scope.slice(0, 8)), ", entry ", h("code", {}, entry.entry)),
      h("div", { class: "bar" },
        h("a", { href: `#explorer?${why}` }, "Why is it served?"),
        h("button", { type: "button", class: "danger", onclick: remove }, "Remove")))));
}
