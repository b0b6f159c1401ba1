// A recording that is over, as `monigo serve` shows it: of the sample service, with figures of its resources.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open } from "../browser.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

let chromium;
let page;
let faults;

before(async () => { chromium = await launch(); });
after(async () => { await chromium?.close(); });
beforeEach(async () => { ({ page, faults } = await open(chromium.browser, url)); });
afterEach(async () => {
  await page.close();
  // What cannot be known of the past is answered with a reason, and browsers report the status.
  assert.deepEqual(faults.filter((fault) => !fault.includes("503")), []);
});

const turn = (name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();

test("the overview says that it is over, and shows what was", async () => {
  await page.locator(".state", { hasText: "ENDED" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0, "there is nothing to pause");
  assert.equal(await page.locator("[data-banner=stale], [data-banner=lost]").count(), 0);
  await page.getByRole("region", { name: "Service health" }).locator("text.score").waitFor();
  await page.getByRole("button", { name: "All", pressed: true }).waitFor();
  await page.waitForFunction(() => {
    const charts = [...document.querySelectorAll(".charts .time-chart")];
    return charts.length >= 5 && charts.every((chart) => Number(chart.dataset.points) > 1);
  });
});

test("a preset ends where the recording ends", async () => {
  await page.keyboard.press("1");
  await page.getByRole("button", { name: "10 s", pressed: true }).waitFor();
  await page.getByRole("region", { name: "Calls", exact: true }).locator(".time-chart").waitFor();
  await turn("Functions");
  await page.waitForFunction(() => [...document.querySelectorAll(".functions td.calls")].some((cell) => Number(cell.textContent.replaceAll(",", "")) > 0));
});

test("goroutines are not kept, and the page says so", async () => {
  await turn("Goroutines");
  await page.locator(".empty", { hasText: /\w+ \w+/ }).first().waitFor();
  assert.equal(await page.locator(".groups").count(), 0);
});

test("functions, flame graphs and reports work as ever", async () => {
  await turn("Functions");
  await page.locator(".functions tbody a").first().click();
  await page.locator("svg[data-bars]").waitFor();
  await turn("Flame graphs");
  await page.locator(".flame canvas").waitFor();
  await turn("Reports");
  await page.locator(".samples tbody tr").first().waitFor();
});

test("a function that has several bodies lists them", async () => {
  const body = (name, address, line) =>
    ({ name, linkage_name: name, address, file: line === null ? null : "/src/sum.rs", line, sites: line ?? 1, cost_class: "emulated" });
  await page.route("**/api/v1/functions*", async (route) => {
    const rows = await (await route.fetch()).json();
    for (const row of rows) row.probe.instances = [body("sum::<u32>", "0x1000", 12), body("sum::<f64>", "0x1100", null)];
    await route.fulfill({ json: rows });
  });
  await page.goto(`${url.replace(/#.*/, "")}#/fn/0`);
  await page.reload();
  const list = page.locator("details.instances");
  await list.locator("summary", { hasText: "2 instances" }).click();
  const lines = await list.locator("li").allInnerTexts();
  assert.deepEqual(lines.map((line) => line.trim()), ["0x1000 sum::<u32> 12 sites, emulated, /src/sum.rs:12", "0x1100 sum::<f64> 1 site, emulated"]);
});
