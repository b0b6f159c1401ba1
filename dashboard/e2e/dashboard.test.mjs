// Drives the dashboard of a running monigo. MONIGO_URL is what monigo printed; the recording must
// be live, with at least two functions and recorded stacks.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open } from "./browser.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

let chromium;
let page;
let faults;

before(async () => { chromium = await launch(); });
after(async () => { await chromium?.close(); });
beforeEach(async () => {
  ({ page, faults } = await open(chromium.browser, new URL("#/functions", url).href));
  await page.locator(".functions tbody tr").first().waitFor();
});
afterEach(async () => {
  await page.close();
  assert.deepEqual(faults, []);
});

const rows = () => page.locator(".functions tbody tr");
const column = (name) => page.locator(`.functions tbody td.${name}`).allInnerTexts();
const names = () => page.locator(".functions tbody th .name").evaluateAll((all) => all.map((each) => each.title));
const header = (title) => page.getByRole("columnheader", { name: title }).getByRole("button");
const number = (text) => Number(text.replaceAll(",", ""));
const flame = () => page.locator(".flame canvas");
const data = async (locator, name) => locator.getAttribute(`data-${name}`);

/** Turns to the flame graph of all functions. */
async function turnToFlame() {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Flame graphs" }).click();
  await flame().waitFor();
}

/** Opens the function with most calls. */
async function openBusiest() {
  await header("Calls").click();
  await page.locator("th[aria-sort=descending]", { hasText: "Calls" }).waitFor();
  await rows().first().getByRole("link").click();
  await page.locator("h1.function").waitFor();
}

test("the table shows functions, their figures and the target", async () => {
  assert.ok((await rows().count()) >= 2);
  for (const title of ["Function", "Calls", "Rate", "p50", "p90", "p99", "Max", "Total", "Share", "Unwound", "In flight"]) {
    assert.equal(await header(title).count(), 1, title);
  }
  assert.ok((await column("calls")).some((text) => number(text) > 0));
  assert.ok((await column("p99")).some((text) => /^\d.* (ns|µs|ms|s)$/.test(text)));
  assert.match(await page.locator(".top").innerText(), /pid \d+/);
  assert.match(await page.title(), /monigo$/);
  await page.locator(".top .cost", { hasText: /^probes cost about .*% of one CPU/ }).waitFor();
});

test("what is called is found, and one click traces it", async () => {
  const panel = page.locator("section.panel", { has: page.getByRole("heading", { name: "Discover", exact: true }) });
  await panel.getByRole("button", { name: "Find what is called" }).click();
  await panel.getByText(/functions were watched for/).waitFor({ timeout: 30_000 });
  const button = panel.getByRole("button", { name: /^Trace / }).first();
  const name = (await button.getAttribute("aria-label")).replace("Trace ", "");
  const before = await rows().count();
  await button.click();
  await panel.locator(`tr[data-function=${JSON.stringify(name)}]`).getByText("traced", { exact: true }).waitFor();
  await page.waitForFunction((count) => document.querySelectorAll(".functions tbody tr").length > count, before);
  assert.ok((await names()).includes(name));
});

test("each column sorts both ways", async () => {
  await header("Function").click();
  await page.locator("th[aria-sort=ascending]").waitFor();
  const ascending = await names();
  const lower = ascending.map((name) => name.toLowerCase());
  assert.deepEqual(lower, [...lower].sort());
  await header("Function").click();
  await page.locator("th[aria-sort=descending]").waitFor();
  assert.deepEqual(await names(), [...ascending].reverse());

  await header("Calls").click();
  await page.locator("th[aria-sort=descending]", { hasText: "Calls" }).waitFor();
  const calls = (await column("calls")).map(number);
  assert.deepEqual(calls, [...calls].sort((a, b) => b - a));
  assert.match(page.url(), /sort=calls/);
});

test("the filter narrows the table, from the keyboard too", async () => {
  const all = await rows().count();
  const wanted = (await names()).at(-1);
  await page.keyboard.press("/");
  await page.keyboard.type(wanted);
  await page.waitForFunction(
    (name) => [...document.querySelectorAll(".functions tbody th .name")].every((each) => each.title.includes(name)), wanted,
  );
  assert.ok((await rows().count()) < all);
  await page.keyboard.type(" nothing has this name");
  await page.getByText("No function matches").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction((count) => document.querySelectorAll(".functions tbody tr").length === count, all);
});

test("the keyboard leads to a function and back to its row", async () => {
  await page.keyboard.press("/");
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement?.id ?? "");
  const first = await focused();
  await page.keyboard.press("ArrowDown");
  const second = await focused();
  assert.match(second, /^function-\d+$/);
  assert.notEqual(second, first);
  await page.keyboard.press("Enter");
  await page.locator("h1.function").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.className), "function");
  await page.keyboard.press("Escape");
  await rows().first().waitFor();
  await page.waitForFunction((id) => document.activeElement?.id === id, second);
});

test("a function shows its charts", async () => {
  await openBusiest();
  for (const fact of ["Calls", "p50", "p99", "Unwound", "In flight"]) {
    assert.equal(await page.locator(".facts dt", { hasText: new RegExp(`^${fact}$`) }).count(), 1, fact);
  }
  const charts = page.locator(".time-chart");
  assert.equal(await charts.count(), 2);
  for (const chart of await charts.all()) await chart.locator("canvas").waitFor();
  await page.waitForFunction(() =>
    [...document.querySelectorAll(".time-chart")].every((chart) => Number(chart.dataset.points) > 0));

  const histogram = page.locator("svg[data-bars]");
  await histogram.waitFor();
  assert.ok(Number(await data(histogram, "bars")) > 0);
  await histogram.focus();
  await page.keyboard.press("End");
  await page.getByText(/calls, .*; 100% are at most this long/).waitFor();

  const heatmap = page.locator("canvas[data-columns][aria-busy=false]");
  assert.ok(Number(await data(heatmap, "columns")) > 0);
  await heatmap.focus();
  await page.keyboard.press("ArrowUp");
  await page.getByText(/^\d\d:\d\d:\d\d, .* to .*: [\d,]+ calls?$/).waitFor();
  const painted = await heatmap.evaluate((canvas) => {
    const { data: pixels } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return pixels.some((value) => value !== 0);
  });
  assert.ok(painted, "the heatmap has cells");
});

test("the flame graph zooms by click and by keyboard", async () => {
  await turnToFlame();
  const root = await data(flame(), "zoom");
  assert.ok(Number(await data(flame(), "frames")) > 1);
  const reset = page.locator("[data-reset]");
  assert.ok(await reset.isDisabled());

  await flame().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const focus = await data(flame(), "focus");
  await page.keyboard.press("Enter");
  await page.waitForFunction((name) => document.querySelector(".flame canvas").dataset.zoom === name, focus);
  await page.locator(".flame-readout", { hasText: focus }).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction((name) => document.querySelector(".flame canvas").dataset.zoom === name, root);
  assert.equal(await page.locator("h1.function").count(), 0, "Escape zoomed out and went nowhere");

  // The frame below the root, at the left edge.
  await flame().click({ position: { x: 4, y: 19 + 9 } });
  await page.waitForFunction((name) => document.querySelector(".flame canvas").dataset.zoom !== name, root);
  await reset.click();
  await page.waitForFunction((name) => document.querySelector(".flame canvas").dataset.zoom === name, root);
});

test("the flame graph finds frames and weighs by calls", async () => {
  await turnToFlame();
  await flame().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const name = await data(flame(), "focus");
  const search = page.getByRole("searchbox", { name: "Search frames" });
  await search.fill(name);
  await page.getByText(/frames? match(es)?: [<\d.]+% of the whole/).waitFor();
  assert.ok(Number(await data(page.locator(".matched"), "matched")) >= 1);
  await search.fill("nothing has this name");
  await page.getByText("No frame matches").waitFor();
  await search.press("Escape");
  await page.locator(".matched").waitFor({ state: "detached" });

  await page.getByRole("group", { name: "Width of a frame" }).getByRole("button", { name: "Calls" }).click();
  await page.locator(".flame-readout", { hasText: /[\d,]+ calls?, 100% of all/ }).waitFor();
  assert.match(page.url(), /weight=calls/);
});

test("the flame graph can be kept as files", async () => {
  await turnToFlame();
  for (const [link, start] of [["SVG", "<?xml"], ["folded", ""]]) {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.locator(".files").getByRole("link", { name: link }).click(),
    ]);
    const text = readFileSync(await download.path(), "utf8");
    assert.ok(text.startsWith(start) && text.length > 20, `${link}: ${text.slice(0, 80)}`);
    if (link === "folded") assert.match(text.split("\n")[0], /^.+ \d+$/);
  }
});

test("the slowest calls and hottest stacks show their frames", async () => {
  await openBusiest();
  const call = page.locator(".calls tbody button").first();
  await call.click();
  assert.equal(await call.getAttribute("aria-expanded"), "true");
  const stack = page.locator(".stacks details").first();
  await stack.locator("summary").click();
  await stack.locator(".frames li").first().waitFor();
});

test("figures move while live, and stand still while paused", async () => {
  const total = () => page.locator(".functions").evaluate((table) => table.closest("section").querySelector(".note").textContent);
  const before = await total();
  await page.waitForFunction((old) => document.querySelector(".note").textContent !== old, before);
  await page.keyboard.press("Space");
  await page.locator(".state", { hasText: "PAUSED" }).waitFor();
  await page.locator("[data-banner=paused]").waitFor();
  // Answers that were on their way may still arrive; nothing after two more flushes may.
  const flushes = (count) => page.evaluate((wanted) => new Promise((resolve) => {
    const source = new EventSource("api/v1/events");
    let seen = 0;
    source.addEventListener("flush", () => {
      seen += 1;
      if (seen > wanted) resolve(source.close());
    });
  }), count);
  await flushes(2);
  const frozen = await total();
  await flushes(2);
  assert.equal(await total(), frozen);
  await page.getByRole("button", { name: "Go live" }).click();
  await page.locator(".state", { hasText: "LIVE" }).waitFor();
  await page.waitForFunction((old) => document.querySelector(".note").textContent !== old, frozen);
});

test("time windows, by key and by link", async () => {
  await page.keyboard.press("1");
  await page.getByRole("button", { name: "10 s", pressed: true }).waitFor();
  assert.match(page.url(), /window=10/);
  await openBusiest();
  const name = await page.locator("h1.function").innerText();
  const link = page.url();
  await page.goto("about:blank");
  await page.goto(link);
  await page.locator("h1.function", { hasText: name }).waitFor();
  await page.getByRole("button", { name: "10 s", pressed: true }).waitFor();
});

test("help opens and closes", async () => {
  await page.keyboard.press("?");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("pause or go on").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
});

test("dark follows the system until chosen otherwise, and is remembered", async () => {
  const light = () => page.evaluate(() => {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return (red + green + blue) / 3 > 128;
  });
  assert.equal(await light(), true);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await light(), false);
  await page.getByRole("button", { name: "Switch to light" }).click();
  assert.equal(await light(), true);
  await page.reload();
  assert.equal(await light(), true);
  await page.evaluate(() => localStorage.clear());
});

test("fits a narrow window", async () => {
  await page.setViewportSize({ width: 400, height: 800 });
  // Charts take a moment to follow the window.
  const fits = () => page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth);
  await fits();
  await openBusiest();
  await page.locator("svg[data-bars]").waitFor();
  await fits();
});

test("a lost connection shows, and heals", async () => {
  await page.route("**/api/v1/events", (request) => request.abort());
  await page.reload();
  await page.locator("[data-banner=lost]").waitFor();
  await page.locator(".state", { hasText: "LOST" }).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await page.locator("[data-banner=lost]").waitFor({ state: "detached" });
  await page.locator(".state", { hasText: "LIVE" }).waitFor();
  // The browser reports each failed request; that is what was asked for here.
  faults = faults.filter((fault) => !fault.includes("ERR_FAILED"));
});
