// Why a question is a hit or a miss: the near questions, how near they are, and every verdict on them.

import { get, post } from "./api.js";
import { scale } from "./charts.js";
import { announce, counted, cut, failed, h, head, loading } from "./dom.js";

export async function explorer(main, parameters, signal) {
  const { scopes } = await get("/admin/contents", {}, signal);
  const question = h("input", { id: "question", required: true, autocomplete: "off", placeholder: "What would someone ask?", value: parameters.get("question") ?? "" });
  const options = scopes.map((one) => h("option", {
    value: `${one.corpus}\n${one.scope}`,
    selected: one.scope === parameters.get("scope"),
  }, `${one.corpus} · ${counted(one.answers, "answer")} · “${cut(one.example, 44)}”`));
  const scope = h("select", { id: "scope" }, options.length ? options : h("option", { value: "default\n" }, "the scope that all share"));
  const least = h("input", { id: "least", type: "number", min: -1, max: 1, step: 0.01, placeholder: "default" });
  const result = h("div", { class: "stack" });
  const ask = async () => {
    const [corpus, id] = scope.value.split("\n");
    result.replaceChildren(loading("the candidates"));
    try {
      const body = { question: question.value, corpus, scope: id || null, threshold: least.value === "" ? null : Number(least.value) };
      const explanation = await post("/admin/why", body, signal);
      if (!signal.aborted) show(result, explanation);
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(failed(error, ask));
    }
  };
  const form = h("form", { class: "card fields" },
    h("div", {}, h("label", { for: "question" }, "Question"), question),
    h("div", {}, h("label", { for: "scope" }, "Shared in"), scope),
    h("div", {}, h("label", { for: "least" }, "Threshold"), least),
    h("button", { class: "primary" }, "Explain"));
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  main.replaceChildren(
    head("Explorer", "Asks the cache why a question would be a hit or a miss. Nothing is counted and nothing is stored."),
    h("div", { class: "stack" }, form, result));
  if (parameters.get("question")) await ask();
}

const state = (value) => (typeof value === "string" ? value : Object.values(value)[0]);

function show(host, why) {
  const isHit = why.served !== null;
  const picture = h("div", {});
  host.replaceChildren(
    h("p", { class: `decision ${isHit ? "hit" : ""}`, role: "status" }, why.decision.charAt(0).toUpperCase() + why.decision.slice(1)),
    h("section", { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, "How near the nearest questions are"),
        h("p", { class: "soft small" }, why.exact_state === "live" ? "the same question is stored" : `the same question: ${state(why.exact_state).replaceAll("_", " ")}`)),
      picture));
  if (!why.candidates.length) picture.append(h("p", { class: "none" }, "No other question is stored in this scope."));
  else picture.append(scale(picture, {
    threshold: why.threshold, candidates: why.candidates,
    label: `Similarities from ${why.candidates.at(-1).similarity.toFixed(3)} to ${why.candidates[0].similarity.toFixed(3)}, ${why.threshold === null ? "no threshold" : `threshold ${why.threshold}`}`,
  }));
  if (why.candidates.length) host.append(h("ul", { class: "rows" }, why.candidates.map((candidate) => one(candidate, why))));
  announce(why.decision);
}

function one(candidate, why) {
  const isServed = candidate.entry === why.served;
  const isLive = candidate.state === "live";
  return h("li", {}, h("div", { class: "row" },
    h("span", { class: "title" }, candidate.question ?? "An answer that may not be served", " ",
      isServed ? h("span", { class: "badge good" }, "served") : !isLive && h("span", { class: "badge bad" }, state(candidate.state).replaceAll("_", " "))),
    h("span", { class: "meta" }, candidate.similarity.toFixed(3))),
  candidate.checks.length > 0 && h("div", { class: "body" }, h("ul", { class: "checks" }, candidate.checks.map((check) =>
    h("li", { class: check.passed ? "yes" : "no" }, h("span", {}, h("span", { class: "unseen" }, check.passed ? "passed: " : "failed: "), check.name), h("span", { class: "soft" }, check.detail))))));
}
