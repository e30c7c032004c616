// What happened to answers: invalidations, holds, and fills that were refused because they may be stale.

import { get } from "./api.js";
import { clock, counted, empty, h, head } from "./dom.js";

const EVERY = 5_000;

export async function log(main, _, signal) {
  const host = h("div", {});
  let newest = -1;
  const update = async () => {
    const { records } = await get("/admin/log", { limit: 200 }, signal);
    if (signal.aborted || (records[0]?.sequence ?? 0) === newest) return;
    newest = records[0]?.sequence ?? 0;
    host.replaceChildren(records.length
      ? h("ol", { class: "rows log" }, records.map((record) => h("li", {}, row(record))))
      : empty("Nothing has happened yet", h("p", {}, "Changes of documents, holds and refused answers are listed here, the newest first.")));
  };
  await update();
  main.replaceChildren(head("Log", "The newest invalidations, holds and refused answers of this process. It is kept in memory only."), host);
  const timer = setInterval(() => { if (!document.hidden) update().catch(() => {}); }, EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

const effect = (outcome) => (outcome === "unchanged" ? "no new version" : outcome.dropped ? `${counted(outcome.dropped, "answer")} ended` : "no answer depended on it");

function row(record) {
  const [kind, name, text, tone] = {
    invalidated: () => ["changed", record.kind === "everything" ? "everything" : record.kind === "document" ? record.name : `${record.kind} ${record.name}`, effect(record.outcome), record.outcome.dropped ? "good" : ""],
    held: () => ["held", record.document, "nothing from it is served", ""],
    released: () => ["released", record.document, effect(record.outcome), ""],
    refused: () => ["refused", `entry ${record.entry}`, record.reason.replaceAll("_", " "), "bad"],
  }[record.event]();
  const where = record.corpus === "default" ? "" : ` in ${record.corpus}`;
  return h("div", { class: "row" },
    h("time", { class: "soft small", datetime: new Date(record.at).toISOString() }, clock(record.at)),
    h("span", {}, h("span", { class: `badge ${tone}` }, kind)),
    h("span", { class: "title" }, name, record.version && h("span", { class: "soft" }, ` ${record.version}`), h("span", { class: "soft" }, where)),
    h("span", { class: "meta" }, text));
}
