// Why calls are slow: the selection that everything follows, the tail difference, the story of a call. Needs a live
// recording of the sample service, whose functions have slow calls.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open } from "./browser.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

let chromium;
let page;
let faults;
/** `chargeCard`, one of whose calls in 50 is slow. */
let charge;

before(async () => {
  chromium = await launch();
  charge = (await asked("functions")).find((row) => row.name === "main.chargeCard");
  assert.ok(charge, "the sample service is watched");
  // Slow calls are rare: wait for some, and for a past to compare with.
  await until(async () => (await asked(`calls?function=${charge.id}&slower_than=20000000`)).length >= 20);
  await until(async () => (await asked(`heatmap?function=${charge.id}`)).times_ns.length >= 12);
});
after(async () => { await chromium?.close(); });
beforeEach(async () => {
  ({ page, faults } = await open(chromium.browser, new URL(`#/fn/${charge.id}`, url).href));
});
afterEach(async () => {
  await page.close();
  assert.deepEqual(faults, []);
});

async function asked(question) {
  const answer = await fetch(new URL(`/api/v1/${question}`, url));
  assert.equal(answer.status, 200, question);
  return answer.json();
}

async function until(holds) {
  while (!(await holds())) await new Promise((later) => { setTimeout(later, 200); });
}

// Before its data has come, keys and the mouse have nothing to work on.
const heatmap = () => page.locator("canvas[data-columns][aria-busy=false]");
const chip = () => page.locator("[data-selection]");
const panel = (name) => page.getByRole("region", { name });
const slowCalls = () => panel("Slowest calls").locator("tbody tr");
const waterfall = () => page.locator("dialog.story canvas");

/** Duration in ms of a text such as `25.4 ms`. */
function ms(text) {
  const [, value, unit] = /([\d.]+) (ns|µs|ms|s)/.exec(text);
  return Number(value) * { ns: 1e-6, "µs": 1e-3, ms: 1, s: 1e3 }[unit];
}

/** Waits until every call in the list took at least so long. */
async function listedFrom(least) {
  await until(async () => {
    const listed = await slowCalls().locator("td.first").allInnerTexts();
    return listed.length > 0 && listed.every((text) => ms(text) >= least * 0.99);
  });
}

/** Draws a region over the slow part of the heatmap. */
async function brush() {
  // Nothing above moves any more once this is there.
  await panel("Why slow calls are slow").getByText("A slow call takes").waitFor();
  await heatmap().scrollIntoViewIfNeeded();
  const box = await heatmap().boundingBox();
  // Into the topmost row, however low rows are.
  await page.mouse.move(box.x + 62, box.y + 6.5);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 24, box.y + 80, { steps: 4 });
  await page.getByText(/^\d.* and longer, .*: [\d,]+ calls?$/).waitFor();
  await page.mouse.up();
  await chip().waitFor();
}

test("a region drawn on the heatmap selects calls, and a link carries it", async () => {
  await brush();
  await chip().getByText(/^[\d.]+ (µs|ms|s) and longer, \d\d:\d\d:\d\d to \d\d:\d\d:\d\d, [\d,]+ calls/).waitFor();
  const text = await chip().innerText();
  const least = ms(text);
  const { searchParams } = new URL(`http://x/?${page.url().split("?")[1]}`);
  assert.ok(Math.abs(Number(searchParams.get("slower")) / 1e6 - least) < 0.1 * least);
  assert.ok(Number(searchParams.get("from")) < Number(searchParams.get("to")));

  // Calls, stacks and the comparison are about the selection.
  await listedFrom(least);
  for (const root of ["From the function", "With callers"]) {
    await page.getByRole("button", { name: root }).click();
    const href = await page.locator(".flame .files a", { hasText: "folded" }).getAttribute("href");
    assert.match(href, /slower_than=\d+/);
    assert.equal(href.includes("root=function"), root === "From the function");
    await page.locator(".flame canvas").waitFor();
  }
  await panel("Why slow calls are slow").getByText(/recorded of .* and longer against/).waitFor();
  const shown = await panel("Why slow calls are slow").locator(".note").innerText();
  assert.ok(Math.abs(ms(shown.split("of ")[1]) - least) < 0.1 * least, shown);

  const link = page.url();
  await page.goto("about:blank");
  await page.goto(link);
  await chip().waitFor();
  assert.equal((await chip().innerText()).split(",")[0], text.split(",")[0]);
  assert.ok(await heatmap().getAttribute("data-selected"));

  await page.locator("h1.function").focus();
  await page.keyboard.press("Escape");
  await chip().waitFor({ state: "detached" });
  assert.doesNotMatch(page.url(), /slower=|from=/);
  assert.equal(await page.locator("h1.function").count(), 1, "Escape cleared the selection and went nowhere");
});

test("the keyboard selects a region, and the cross clears it", async () => {
  await page.keyboard.press("Space");
  await heatmap().focus();
  await page.keyboard.press("ArrowDown");
  for (let at = 0; at < 40; at += 1) await page.keyboard.press("Shift+ArrowDown");
  for (let at = 0; at < 5; at += 1) await page.keyboard.press("Shift+ArrowLeft");
  await page.getByText(/^below [\d.]+ .*: [\d,]+ calls$/).waitFor();
  await page.keyboard.press("Enter");
  await chip().getByText(/^below /).waitFor();
  // The selected time beside the time before.
  const changed = panel("What changed");
  for (const figure of ["Calls", "Rate", "Mean", "p50", "p99"]) {
    await changed.locator(".changes div", { hasText: new RegExp(`^${figure}[\\d<≈].* → [\\d<≈]`) }).waitFor();
  }
  await page.getByRole("button", { name: "Show all calls again" }).click();
  await chip().waitFor({ state: "detached" });
  assert.equal(await changed.count(), 0, "without a selected time there is nothing to compare");
});

test("slow calls by percentile and by duration", async () => {
  await page.getByRole("button", { name: "Slowest 1%", exact: true }).click();
  await chip().getByText(/^slowest 1% \([\d.]+ ms and longer\), [\d,]+ calls/).waitFor();
  assert.match(page.url(), /percentile=99/);
  const field = page.getByRole("textbox", { name: "slower than" });
  await field.fill("soon");
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  await field.fill("20ms");
  await field.press("Enter");
  await chip().getByText(/^20\.0 ms and longer/).waitFor();
  assert.match(page.url(), /slower=20000000/);
  await listedFrom(20);
});

test("the flame graph begins at the function, and with its callers when asked", async () => {
  const weights = page.getByRole("group", { name: "Width of a frame" });
  const offered = (number) => page.waitForFunction(
    (number) => document.querySelectorAll('[aria-label="Width of a frame"] button').length === number, number,
  );
  const canvas = page.locator(".flame canvas");
  const second = async () => {
    await canvas.focus();
    for (const key of ["Home", "ArrowDown"]) await page.keyboard.press(key);
    return canvas.getAttribute("data-focus");
  };
  await weights.getByRole("button", { name: "On + off CPU", pressed: true }).waitFor();
  await offered(3);
  await until(async () => (await second()) === "main.chargeCard");

  await page.getByRole("button", { name: "With callers" }).click();
  assert.match(page.url(), /root=callers/);
  await weights.getByRole("button", { name: "Wall", pressed: true }).waitFor();
  await offered(5);
  await until(async () => !["main.chargeCard", "all", null, undefined].includes(await second()));
  // Files hold what is shown.
  const file = page.locator(".flame .files a", { hasText: "folded" });
  assert.match(await file.getAttribute("href"), /weight=wall(?!.*root=function)/);

  await page.getByRole("button", { name: "From the function" }).click();
  assert.doesNotMatch(page.url(), /root=/);
  await offered(3);
  await until(async () => (await second()) === "main.chargeCard");
  const folded = await fetch(new URL(await file.getAttribute("href"), url));
  const lines = (await folded.text()).trim().split("\n");
  assert.deepEqual(lines.filter((line) => !line.startsWith("main.chargeCard")), []);
});

test("slow calls are compared with fast ones", async () => {
  const tail = panel("Why slow calls are slow");
  await tail.getByText("A slow call takes").waitFor();
  const [slow, fast] = await tail.locator(".mean b").allInnerTexts();
  assert.ok(ms(slow) > 5 * ms(fast), `${slow} against ${fast}`);
  const shares = (await tail.locator(".cause .share").allInnerTexts()).map(parseFloat);
  assert.ok(shares.length > 0);
  assert.deepEqual(shares.slice(0, -1), [...shares.slice(0, -1)].sort((a, b) => b - a));

  const { causes } = await asked(`tail?function=${charge.id}`);
  if (causes.length === 0) return;
  const first = tail.locator("button.cause").first();
  await first.click();
  assert.equal(await first.getAttribute("aria-expanded"), "true");
  await tail.locator(".cause-stack .frames li").first().waitFor();
  const graph = tail.locator(".difference canvas");
  await graph.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await tail.locator(".flame-readout", { hasText: /in a slow call, .* in a fast one: [+−±]/ }).waitFor();
});

test("a call's story opens from the list, by link, and walks by keyboard", async () => {
  await page.keyboard.press("Space");
  await slowCalls().first().getByRole("link", { name: "Timeline" }).click();
  const dialog = page.getByRole("dialog", { name: /main\.chargeCard took [\d.]+ m?s/ });
  await dialog.waitFor();
  await page.waitForFunction(() => document.activeElement === document.querySelector("dialog.story canvas"));
  assert.match(page.url(), /call=\d+-\d+-\d+/);
  assert.ok(Number(await waterfall().getAttribute("data-items")) >= 1);
  await page.keyboard.press("ArrowDown");
  await dialog.locator(".story-readout", { hasText: "main.chargeCard" }).waitFor();
  await page.keyboard.press("Enter");
  await dialog.locator(".frames li").first().waitFor();
  await page.keyboard.press("+");
  assert.equal(await waterfall().getAttribute("data-zoomed"), "true");
  await page.keyboard.press("Escape");
  assert.equal(await waterfall().getAttribute("data-zoomed"), "false");

  const [download] = await Promise.all([
    page.waitForEvent("download"),
    dialog.getByRole("link", { name: "Perfetto trace" }).click(),
  ]);
  const trace = JSON.parse(readFileSync(await download.path(), "utf8"));
  assert.ok(trace.traceEvents.some((event) => event.ph === "X" && event.name === "main.chargeCard"));

  const link = page.url();
  await page.goto("about:blank");
  await page.goto(link);
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  // The dialog hides before its page hears of it.
  await page.waitForFunction(() => !location.hash.includes("call="));
  assert.equal(await page.locator("h1.function").count(), 1);
});

test("stories open from the list of all functions, too", async () => {
  await page.keyboard.press("Escape");
  await page.locator(".functions tbody tr").first().waitFor();
  await page.keyboard.press("Space");
  await slowCalls().first().getByRole("link", { name: "Timeline" }).click();
  const dialog = page.getByRole("dialog", { name: /main\..* took [\d.]+ m?s/ });
  await dialog.waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.doesNotMatch(page.url(), /call=/);
});

test("a call that was not recorded says so", async () => {
  await page.goto(new URL(`#/fn/${charge.id}?call=${charge.id}-1-1`, url).href);
  await page.getByRole("dialog").getByText(/no recorded call is named/).waitFor();
  // The browser reports the refused request; that is what was asked for here.
  faults = faults.filter((fault) => !fault.includes("404") && !fault.includes("400"));
});

test("fits a narrow window, and is accessible by the rules of axe-core in light and dark", async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const { key } = (await asked(`calls?function=${charge.id}&limit=1`))[0];
  for (const colorScheme of ["light", "dark"]) {
    for (const query of ["?percentile=99", `?call=${key}`]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 400, height: 800 });
      await page.goto(new URL(`#/fn/${charge.id}${query}`, url).href);
      await page.getByText("A slow call takes").waitFor();
      if (query.includes("call")) await waterfall().waitFor();
      else await chip().waitFor();
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} px too wide`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
      assert.deepEqual(found, [], `${colorScheme} ${query}`);
      await page.goto("about:blank");
    }
  }
});
