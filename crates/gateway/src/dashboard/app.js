// The frame of the page: which view is shown, the colours, the token.

import { token } from "./api.js";
import { failed, loading } from "./dom.js";
import { answers } from "./answers.js";
import { documents } from "./documents.js";
import { explorer } from "./explorer.js";
import { log } from "./log.js";
import { overview } from "./overview.js";
import { threshold } from "./threshold.js";

const VIEWS = { overview, answers, documents, explorer, threshold, log };
const main = document.getElementById("main");
const dialog = document.getElementById("token-dialog");
let leave = new AbortController();

/** The view and its parameters, as in `#documents?document=a.md`. */
function place() {
  const [name, search] = location.hash.slice(1).split("?");
  return { name: name in VIEWS ? name : "overview", parameters: new URLSearchParams(search ?? "") };
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, parameters } = place();
  for (const link of document.querySelectorAll(".tabs a")) {
    const isHere = link.hash === `#${name}`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isHere) link.scrollIntoView({ inline: "nearest", block: "nearest" });
  }
  document.title = `${name.charAt(0).toUpperCase()}${name.slice(1)} – Wellspring`;
  main.replaceChildren(loading(name));
  try {
    await VIEWS[name](main, parameters, signal);
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(failed(error, show));
  }
}

const THEMES = ["auto", "light", "dark"];
const themeButton = document.getElementById("theme");

function paint(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.textContent = theme.charAt(0).toUpperCase() + theme.slice(1);
  themeButton.setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
}

let theme = localStorage.getItem("wellspring-theme") ?? "auto";
paint(THEMES.includes(theme) ? theme : "auto");
themeButton.addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  localStorage.setItem("wellspring-theme", theme);
  paint(theme);
});

const signOut = document.getElementById("sign-out");
signOut.hidden = !token.read();
signOut.addEventListener("click", () => {
  token.forget();
  signOut.hidden = true;
  show();
});

document.addEventListener("token-needed", () => {
  if (dialog.open) return;
  if (token.read()) document.getElementById("token-why").textContent = "The token was not accepted. Try another one.";
  dialog.showModal();
});
document.getElementById("token-form").addEventListener("submit", () => {
  const input = document.getElementById("token");
  token.keep(input.value.trim());
  input.value = "";
  signOut.hidden = false;
  show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
show();
