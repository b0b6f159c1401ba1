// An agent with two targets, shop and mail: each page is about the session that is chosen in the header.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open } from "../browser.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

/** What each target is traced for, as the agent's configuration says. */
const traced = { shop: ["main.(*Service).ProcessOrder", "main.reserveStock"], mail: ["main.chargeCard", "main.writeReceipt"] };

let chromium;
let page;
let faults;
/** By the target's label. */
let sessions;

before(async () => {
  chromium = await launch();
  // Probes go in one target after the other.
  for (;;) {
    const listed = await (await fetch(new URL("/monigo/api/v1/sessions", url))).json();
    sessions = Object.fromEntries(listed.filter((each) => each.running).map((each) => [each.label, each]));
    if (sessions.shop?.process_id && sessions.mail?.process_id) break;
    await new Promise((done) => setTimeout(done, 100));
  }
});
after(async () => { await chromium?.close(); });
beforeEach(async () => {
  ({ page, faults } = await open(chromium.browser, url));
  await select().waitFor();
});
afterEach(async () => {
  await page.close();
  assert.deepEqual(faults, []);
});

const select = () => page.getByRole("combobox", { name: "Session" });
const turn = (name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
const choose = (label) => select().selectOption(String(sessions[label].id));
const other = (label) => label === "shop" ? "mail" : "shop";
const names = () => page.locator(".functions tbody th .name").evaluateAll((all) => all.map((each) => each.title));

/** The label of the session that the header says is shown. */
async function shown() {
  const value = await select().inputValue();
  return Object.keys(sessions).find((label) => String(sessions[label].id) === value);
}

/** Waits for the overview of a target, with its own process, and figures of its own. */
async function overviewOf(label) {
  await page.locator(".identity h2", { hasText: label }).waitFor();
  await page.locator(".identity dd", { hasText: new RegExp(`^${sessions[label].process_id}$`) }).waitFor();
  await page.locator(".top strong", { hasText: label }).waitFor();
  await page.waitForFunction(() => Number(document.querySelector(".charts .time-chart")?.dataset.points) > 1);
}

/** Waits until the table has the functions of a target, with calls, and no others. */
async function functionsOf(label) {
  await page.waitForFunction((wanted) => {
    const rows = [...document.querySelectorAll(".functions tbody tr")];
    const found = rows.map((row) => row.querySelector("th .name")?.title).sort();
    const called = rows.every((row) => Number(row.querySelector("td.calls")?.textContent.replaceAll(",", "")) > 0);
    return called && JSON.stringify(found) === JSON.stringify(wanted);
  }, [...traced[label]].sort());
}

test("both targets are offered, and the header says which is shown", async () => {
  const offered = await select().getByRole("option").allInnerTexts();
  assert.equal(offered.length, 2, offered.join(" / "));
  for (const label of Object.keys(traced)) {
    assert.ok(offered.some((text) => text.startsWith(`${label} · pid ${sessions[label].process_id} `)), offered.join(" / "));
  }
  await overviewOf(await shown());
});

test("choosing changes what the overview and the functions are about, and back leads back", async () => {
  const [first, second] = [await shown(), other(await shown())];
  await overviewOf(first);
  await choose(second);
  await overviewOf(second);
  await turn("Functions");
  await functionsOf(second);
  await choose(first);
  await functionsOf(first);
  await turn("Overview");
  await overviewOf(first);
  await page.goBack();
  await functionsOf(first);
  await page.goBack();
  await functionsOf(second);
  assert.equal(await shown(), second);
});

test("the choice survives a reload, and is in the link", async () => {
  for (const label of Object.keys(traced)) {
    await choose(label);
    await overviewOf(label);
    await page.reload();
    await overviewOf(label);
    assert.equal(await shown(), label);
    await turn("Functions");
    await functionsOf(label);
    await page.reload();
    await functionsOf(label);
    const link = page.url();
    assert.match(link, new RegExp(`session=${sessions[label].id}\\b`));
    const again = await open(chromium.browser, link);
    await again.page.waitForFunction((name) => document.querySelector(".functions tbody th .name")?.title === name, (await names())[0]);
    assert.equal(await again.page.getByRole("combobox", { name: "Session" }).inputValue(), String(sessions[label].id));
    assert.deepEqual(again.faults, []);
    await again.page.close();
    await turn("Overview");
  }
});

test("what belongs to one session goes when another is chosen", async () => {
  await choose("shop");
  await turn("Functions");
  await functionsOf("shop");
  await page.locator(".functions tbody a").first().click();
  await page.locator("h1.function").waitFor();
  await choose("mail");
  await functionsOf("mail");
  assert.equal(await page.locator("h1.function").count(), 0, "a function of the other session is shown");
});
