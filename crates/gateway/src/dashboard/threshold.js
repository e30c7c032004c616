// What another threshold would have meant: hits kept, compared with answers that users called wrong.

import { get } from "./api.js";
import { columns } from "./charts.js";
import { count, empty, h, head, percent } from "./dom.js";

export async function threshold(main, _, signal) {
  const data = await get("/admin/threshold", {}, signal);
  const semantic = data.buckets.reduce((sum, bucket) => sum + bucket.hits, 0);
  const title = head("Threshold", "Hits on other wordings by similarity, with the feedback of users.");
  // None if only exact matches are served.
  const present = data.threshold === null ? null : data.threshold.toFixed(2);
  if (semantic === 0) {
    const now = present === null ? "Only exact matches are served; the overview explains why." : `The threshold is ${present}.`;
    main.replaceChildren(title, empty("No hit on another wording yet",
      h("p", {}, `${now} When questions with the same meaning are asked, this shows how similar they were and, with feedback, how many hits were wrong.`)));
    return;
  }
  const slider = h("input", { id: "least", type: "range", min: data.buckets[0].from, max: 1, step: 0.01, value: data.threshold ?? 1 });
  const value = h("output", { for: "least" });
  const picture = h("div", {});
  const figures = h("div", { class: "grid", "aria-live": "polite" });
  const draw = () => {
    const least = Number(slider.value);
    value.textContent = least.toFixed(2);
    slider.setAttribute("aria-valuetext", `a threshold of ${least.toFixed(2)}`);
    picture.replaceChildren(columns(picture, {
      buckets: data.buckets, threshold: least,
      label: `${count(semantic)} hits by similarity from ${data.buckets[0].from} to 1, with a threshold of ${least.toFixed(2)}`,
    }));
    const kept = data.buckets.filter((bucket) => bucket.from + 0.005 >= least);
    const sum = (name) => kept.reduce((all, bucket) => all + bucket[name], 0);
    const judged = sum("right") + sum("wrong");
    const rate = (data.exact.hits + sum("hits")) / data.lookups;
    const figure = (name, shown, note) => h("section", { class: "card w4 figure" }, h("h2", { class: "name" }, name), h("p", { class: "value" }, shown), h("p", { class: "foot" }, note));
    figures.replaceChildren(
      figure("Hit rate", percent(rate), `${percent((data.exact.hits + semantic) / data.lookups)} as it is`),
      figure("Hits on other wordings", count(sum("hits")), `of ${count(semantic)} served`),
      figure("False hits", judged ? percent(sum("wrong") / judged) : "–", judged ? `${count(sum("wrong"))} wrong of ${count(judged)} judged` : "no feedback yet: POST /v1/cache/feedback"));
  };
  main.replaceChildren(title, h("div", { class: "stack" },
    h("section", { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, "Hits by similarity"),
        h("ul", { class: "legend small" }, h("li", {}, h("i", { class: "t-semantic" }), "served"), h("li", {}, h("i", { class: "t-wrong" }), "called wrong"))),
      picture,
      h("div", { class: "slide" }, h("label", { for: "least" }, "If the threshold were"), slider, value)),
    figures,
    h("p", { class: "note" }, present === null
      ? "At present only exact matches are served, which have no threshold; the overview explains why."
      : `Below the present threshold of ${present} nothing was served, so nothing is known; try a lower threshold to find out. Exact hits have no threshold.`)));
  slider.addEventListener("input", draw);
  draw();
}
