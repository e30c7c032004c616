// Opens the page in Chromium as people would: node check.cjs URL EMPTY_URL FOLDER. Leaves screenshots in the folder.

const { existsSync, mkdtempSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { delimiter, join } = require("node:path");
const { chromium } = require("playwright-core");

const [url, emptyUrl, folder] = process.argv.slice(2);
const VIEWS = ["overview", "answers", "documents", "explorer", "threshold", "log"];
const problems = [];

function browserPath() {
  const onPath = (name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
  const known = [process.env.CHROMIUM, ...["chromium", "chromium-browser", "google-chrome"].flatMap(onPath),
    join(__dirname, "../../../../../../.deps/chromium/bin/chromium"), "/Applications/Chromium.app/Contents/MacOS/Chromium"];
  const found = known.find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium was found: `make clients` fetches or asks for one");
  return found;
}

function check(isGood, what) {
  if (!isGood) problems.push(what);
}

async function open(context, address) {
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && problems.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("request", (request) => check(request.url().startsWith(address), `asked ${request.url()}`));
  await page.goto(address);
  return page;
}

async function settled(page) {
  await page.waitForFunction(() => !document.querySelector(".loading"), null, { timeout: 15_000 });
  await page.mouse.move(1, 1);
}

async function visit(page, name, shot) {
  await page.evaluate((hash) => { location.hash = hash; }, name);
  await page.waitForTimeout(150);
  await settled(page);
  check(!(await page.locator(".error").count()), `${shot} shows an error: ${await page.locator("main").innerText()}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${shot} is ${wide} px too wide`);
  check((await page.locator("main h1").count()) === 1, `${shot} has no heading`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("main button, main input, main select, main a")]
    .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML.slice(0, 80)));
  check(nameless.length === 0, `${shot} has controls without a name: ${nameless}`);
  await page.screenshot({ path: join(folder, `${shot}.png`), fullPage: true });
}

async function main() {
  const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "wellspring-browser-")), {
    executablePath: browserPath(),
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
  });
  const page = await open(context, url);

  // A token is required, a wrong one is refused, and the keyboard is enough.
  await page.waitForSelector("#token-dialog[open]");
  await page.screenshot({ path: join(folder, "token.png") });
  await page.keyboard.type("guessed");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("token-why").textContent.includes("not accepted"));
  await page.waitForSelector("#token-dialog[open]");
  await page.keyboard.type("admin");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".figure");
  check((await page.evaluate(() => Object.keys(localStorage).length)) === 0, "something was kept beyond the tab");

  for (const colours of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: colours });
    for (const [size, width] of [["desk", 1280], ["phone", 375]]) {
      await page.setViewportSize({ width, height: size === "desk" ? 800 : 740 });
      for (const name of VIEWS) await visit(page, name, `${name}-${colours}-${size}`);
      const question = encodeURIComponent("how long does it take until a refund of my order arrives today");
      const scope = await page.evaluate(async () => {
        const headers = { "Wellspring-Token": sessionStorage.getItem("wellspring-token") };
        return (await (await fetch("/admin/contents", { headers })).json()).scopes[0].scope;
      });
      await visit(page, `explorer?question=${question}&corpus=default&scope=${scope}`, `explained-${colours}-${size}`);
      check((await page.locator(".decision").count()) === 1, "nothing was explained");
      await visit(page, "documents?corpus=default&document=terms.md", `document-${colours}-${size}`);
      check((await page.locator(".graph .node").count()) > 2, "the picture of a document is empty");
    }
  }

  // By keyboard: the skip link, the views, the arrow keys of a chart, a removal with its confirmation.
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.reload();
  await page.waitForSelector(".graph");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop is not the skip link");
  await page.keyboard.press("Enter");
  check((await page.evaluate(() => document.activeElement.id)) === "main", "the skip link does not lead to the content");
  await page.locator(".tabs a").first().focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector(".chart[tabindex]");
  await page.locator(".chart[tabindex]").first().focus();
  await page.keyboard.press("ArrowLeft");
  check((await page.locator(".cross[visibility=visible]").count()) === 1, "the arrow keys do not read the chart");
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  check(ring === "solid", "the focus cannot be seen");
  await visit(page, "answers", "answers-open");
  const before = await page.locator("details").count();
  await page.locator("summary").first().focus();
  await page.keyboard.press("Enter");
  await page.screenshot({ path: join(folder, "answer-open.png") });
  await page.locator("details[open] button.danger").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#confirm-dialog[open]");
  await page.screenshot({ path: join(folder, "confirm.png") });
  await page.keyboard.press("Escape");
  check((await page.locator("details").count()) === before, "an answer was removed without confirmation");
  await page.locator("details[open] button.danger").click();
  await page.locator("#confirm-yes").click();
  await page.waitForFunction((count) => document.querySelectorAll("details").length === count - 1, before);
  await page.fill("#search", "no such thing anywhere");
  await page.waitForSelector(".empty");
  await page.screenshot({ path: join(folder, "nothing-found.png") });

  // The switch overrides the system's colours and persists after a reload.
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.click("#theme");
  await page.click("#theme");
  check((await ground()) !== light, "the switch does not change the colours");
  await page.reload();
  check((await ground()) !== light, "the switch is forgotten");

  // A gateway without a token and without an answer.
  const fresh = await open(context, emptyUrl);
  for (const name of VIEWS) await visit(fresh, name, `empty-${name}`);
  await context.close();
  if (problems.length) throw new Error(`\n  ${[...new Set(problems)].join("\n  ")}`);
  console.log("all views work");
}

main().then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1); });
