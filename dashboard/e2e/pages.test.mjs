// The pages about the service: overview, goroutines, reports, settings, and the states of the view. Needs a live recording
// of a Go service; states that it is not in are made up.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open } from "./browser.mjs";
import { fake, sick, threads } from "./service.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const hashes = ["#/", "#/functions", "#/fn/0", "#/routines", "#/flame", "#/flame/0", "#/reports", "#/reports?topic=FunctionLatency", "#/settings"];

let chromium;
let page;
let faults;

before(async () => { chromium = await launch(); });
after(async () => { await chromium?.close(); });
beforeEach(() => { faults = []; });
afterEach(async () => {
  if (!page.isClosed()) await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.close();
  assert.deepEqual(faults, []);
});

/** Opens a page of the real service, or with made-up answers about it. */
async function visit(hash, change = null) {
  let sent = [];
  ({ page, faults } = await open(chromium.browser, new URL(hash, url).href, async (fresh) => {
    if (change) sent = await fake(fresh, change);
  }));
  return sent;
}

const region = (name) => page.getByRole("region", { name, exact: true });
const tile = (name) => page.locator(".tile", { has: page.getByRole("heading", { name, exact: true }) });
const turn = (name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

async function downloaded(click) {
  const [download] = await Promise.all([page.waitForEvent("download"), click()]);
  return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
}

test("the navigation leads to every page, and back", async () => {
  await visit("#/");
  for (const [name, hash] of [
    ["Functions", "functions"], ["Goroutines", "routines"], ["Flame graphs", "flame"], ["Reports", "reports"], ["Settings", "settings"], ["Overview", ""],
  ]) {
    await turn(name);
    await page.locator("nav a[aria-current=page]", { hasText: name }).waitFor();
    assert.equal(new URL(page.url()).hash, `#/${hash}`);
    await page.waitForFunction((title) => document.title.startsWith(`${title} · `), name);
  }
  await page.goBack();
  await page.locator("nav a[aria-current=page]", { hasText: "Settings" }).waitFor();
});

test("the overview tells health, identity and resources of the service", async () => {
  await visit("#/");
  for (const name of ["Service", "System"]) {
    const gauge = page.getByRole("region", { name: `${name} health` });
    const score = Number(await gauge.locator("text.score").innerHTML());
    assert.ok(score >= 0 && score <= 100, `${name}: ${score}`);
    await gauge.getByText(/Excellent|Good|Satisfactory|Fair|Poor|Critical/).first().waitFor();
  }
  await page.locator(".identity dd", { hasText: /^Go, go1\.\d+/ }).waitFor();
  await page.locator(".identity dd", { hasText: /^\d+(, \d+)*$/ }).first().waitFor();
  await tile("CPU").locator(".figure", { hasText: /%$/ }).waitFor();
  await tile("Memory").locator(".figure", { hasText: /(KiB|MiB|GiB)$/ }).waitFor();
  assert.ok(Number((await tile("Goroutines").locator(".figure").innerText()).replaceAll(",", "")) > 1);
  await tile("Probes").locator(".figure", { hasText: /%$/ }).waitFor();
  for (const name of ["Calls", "Load of the service", "Load of the host", "CPU", "Memory of the service", "Goroutines and threads"]) {
    await region(name).locator(".time-chart canvas").waitFor();
  }
  await page.waitForFunction(() => [...document.querySelectorAll(".charts .time-chart")].every((chart) => Number(chart.dataset.points) > 1));
});

test("a breach is told with its resource and by how much", async () => {
  await visit("#/", { metrics: sick });
  const gauge = page.getByRole("region", { name: "Service health" });
  await gauge.getByText("unhealthy").waitFor();
  await gauge.getByText("CPU: 97.3% of 2 CPUs, the limit is 95%").waitFor();
  assert.match(await gauge.locator("svg").getAttribute("aria-label"), /31 of 100, Poor/);
});

test("what is not available says why", async () => {
  const gone = (message) => ({ status: 503, message });
  await visit("#/", { metrics: gone("the processes ended"), "service-metrics": gone("no figures were kept"), "go-routines-stats": gone("unknown Go version devel") });
  await region("Health").first().getByText("the processes ended").waitFor();
  await region("CPU").getByText("no figures were kept").waitFor();
  await turn("Goroutines");
  await page.getByText("unknown Go version devel").waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await fake(page);
  await page.getByText("212 goroutines").waitFor();
  faults = faults.filter((fault) => !fault.includes("503"));
});

test("goroutines are grouped, found by state and words, and kept as text", async () => {
  await visit("#/routines");
  await page.getByRole("heading", { name: /^[\d,]+ goroutines$/ }).waitFor();
  await page.locator(".time-chart canvas").waitFor();
  const groups = page.locator(".groups details");
  const all = await groups.count();
  assert.ok(all >= 2, `${all} groups`);
  await groups.first().locator("summary").click();
  assert.ok((await groups.first().locator(".frames li").count()) > 1);

  const chip = page.getByRole("group", { name: "State" }).getByRole("button").nth(1);
  const state = (await chip.innerText()).split(/\s/)[0];
  await chip.click();
  await page.waitForFunction((wanted) => [...document.querySelectorAll(".groups summary .tag")].every((tag) => tag.textContent === wanted), state);
  assert.match(page.url(), new RegExp(`state=${state}`));
  await page.getByRole("button", { name: /^all/ }).click();
  await page.keyboard.press("/");
  await page.keyboard.type("no stack has this");
  await page.getByText("No goroutine matches.").waitFor();
  await page.keyboard.press("Escape");
  await groups.first().waitFor();

  const { name, text } = await downloaded(() => page.getByRole("button", { name: "Text" }).click());
  assert.match(name, /goroutines.*\.txt$/);
  assert.match(text, /^[\d,]+ goroutines at \d{4}-/);
  assert.match(text, /\n\d+ × \[\w+/);
});

test("leaks, long waits and threads of other languages", async () => {
  await visit("#/routines", {});
  await page.getByText("likely leak").waitFor();
  const growing = page.getByRole("button", { name: "growing 1 group" });
  await growing.click();
  assert.equal(await page.locator(".groups details").count(), 1);
  await growing.click();
  await page.getByRole("group", { name: "Order" }).getByRole("button", { name: "Longest blocked" }).click();
  await page.locator(".groups details").first().getByText("blocked for 33 h 0 min").waitFor();
  await page.getByText("3 goroutines changed while they were read").waitFor();
  await page.close();

  await visit("#/routines", { "go-routines-stats": threads });
  await page.getByRole("heading", { name: "9 threads" }).waitFor();
  await page.getByRole("heading", { name: "Threads in the last hour" }).waitFor();
});

test("reports show a topic, and keep its values as they are", async () => {
  await visit("#/reports?topic=CPUStatistics");
  const table = page.locator(".samples table");
  await table.locator("tbody tr").first().waitFor();
  const [first, ...titles] = await table.locator("thead th").allInnerTexts();
  assert.equal(first, "Time");
  assert.deepEqual(titles.sort(), ["cores used by service", "cores used by system", "total cores"]);
  await page.locator(".time-chart canvas").first().waitFor();

  const csv = await downloaded(() => page.getByRole("button", { name: "CSV" }).click());
  assert.match(csv.name, /CPUStatistics.*\.csv$/);
  const [head, ...lines] = csv.text.trimEnd().split("\r\n").map((line) => line.split(","));
  assert.equal(head[0], "time");
  assert.ok(head.includes("cores_used_by_service"));
  assert.ok(lines.length > 1);
  for (const line of lines) assert.ok(line.slice(1).every((cell) => cell === "" || Number.isFinite(Number(cell))), line.join());
  const times = lines.map(([time]) => Date.parse(time));
  assert.deepEqual(times, [...times].sort((a, b) => a - b));

  const json = await downloaded(() => page.getByRole("button", { name: "JSON" }).click());
  const values = JSON.parse(json.text);
  // The first look has nothing to compare with.
  assert.equal(typeof values.at(-1).value.cores_used_by_service, "number");

  await page.getByRole("combobox", { name: "Report on" }).selectOption("FunctionLatency");
  await page.getByRole("heading", { name: /^Latency of functions/ }).first().waitFor();
  await table.locator("tbody tr").first().waitFor();
  assert.match(page.url(), /topic=FunctionLatency/);
});

test("a time between two times is chosen, kept in the link, and refused the wrong way round", async () => {
  const sent = await visit("#/reports", {});
  await page.getByRole("button", { name: "From … to" }).click();
  await page.getByLabel("From", { exact: true }).fill("2026-11-20T10:00:00");
  await page.getByLabel("To", { exact: true }).fill("2026-11-20T09:00:00");
  await page.getByText("The start must be before the end.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Show", exact: true }).isDisabled());
  await page.getByLabel("To", { exact: true }).fill("2026-11-20T12:30:00");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /10:00:00 – .*12:30:00/ }).waitFor();
  assert.match(page.url(), /window=\d{13}-\d{13}/);
  await page.locator(".samples tbody tr").first().waitFor();
  const { body } = sent.findLast(({ name }) => name === "reports");
  assert.equal(Date.parse(body.end_time) - Date.parse(body.start_time), 2.5 * 3_600_000);
  await page.keyboard.press("3");
  await page.getByRole("button", { name: "5 min", pressed: true }).waitFor();
});

test("a part of the time is drawn over a chart, and Back leads back", async () => {
  await visit("#/", {});
  const chart = region("Load of the host").locator(".u-over");
  await chart.waitFor();
  const box = await chart.boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 50, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => /window=\d{13}-\d{13}/.test(location.hash));
  await page.locator(".range > button.chosen").waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "All", pressed: true }).waitFor();
});

test("settings tell where each value is from, exporters how they are", async () => {
  await visit("#/settings", {});
  await page.locator("[data-exporter=otlp] .condition", { hasText: "sending" }).waitFor();
  await page.locator("[data-exporter=webhook]", { hasText: "refused the connection" }).getByText("broken off").waitFor();
  const retention = page.locator(".sections dl > div", { hasText: "max_size" });
  assert.match(await retention.innerText(), /2GiB\s+file/);
  const lines = await page.locator(".sections dl > div").count();
  await page.getByRole("button", { name: "Not default" }).click();
  await page.waitForFunction((all) => document.querySelectorAll(".sections dl > div").length < all, lines);
  assert.ok(!(await page.locator(".sections .source").allInnerTexts()).includes("default"));
});

test("the API of the real service is described", async () => {
  await visit("#/settings");
  const link = page.getByRole("link", { name: "OpenAPI description" });
  const answer = await fetch(new URL(await link.getAttribute("href"), url));
  assert.equal(answer.status, 200);
  assert.match((await answer.json()).openapi, /^3\./);
  await page.locator(".operations li", { hasText: "/monigo/api/v1/service-info" }).waitFor();
  await page.locator(".sections dl > div, .settings .empty").first().waitFor();
  await page.locator(".exporters").getByText(/None is configured|Receiver/).first().waitFor();
});

test("data that stops coming shows as stale", async () => {
  ({ page, faults } = await open(chromium.browser, url, (fresh) => fresh.route("**/api/v1/overview", async (route) => {
    const answer = await route.fetch();
    const overview = await answer.json();
    await route.fulfill({ response: answer, json: { ...overview, last_flush_ns: overview.last_flush_ns - 120e9 } });
  })));
  await page.locator("[data-banner=stale]", { hasText: /No data since .*, 2m 0\ds ago/ }).waitFor();
  await page.locator(".state", { hasText: "STALE" }).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await page.locator("[data-banner=stale]").waitFor({ state: "detached" });
});

test("pause freezes the overview, too", async () => {
  const sent = await visit("#/", {});
  await page.locator(".charts canvas").first().waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("[data-banner=paused]", { hasText: "figures stand still" }).waitFor();
  await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource("api/v1/events");
    let seen = 0;
    source.addEventListener("flush", () => { if ((seen += 1) > 4) resolve(source.close()); });
  }));
  const asked = sent.length;
  await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource("api/v1/events");
    let seen = 0;
    source.addEventListener("flush", () => { if ((seen += 1) > 3) resolve(source.close()); });
  }));
  assert.equal(sent.length, asked);
  await page.getByRole("button", { name: "Go live" }).click();
  await page.locator(".state", { hasText: "LIVE" }).waitFor();
  while (sent.length === asked) await page.waitForRequest("**/monigo/api/v1/*");
});

test("whoever is signed out is told so, and gets on by signing in", async () => {
  await visit("#/");
  const refuse = (route) => route.fulfill({ status: 401, json: { error: { code: "token_needed", message: "open the address with the token" } } });
  await page.route("**/api/v1/**", refuse);
  await page.getByRole("heading", { name: "Signed out" }).waitFor();
  await page.getByText("open the address with the token.").waitFor();
  assert.equal(await page.locator(".tile").count(), 0, "nothing of the service is left on the page");
  await page.unrouteAll({ behavior: "wait" });
  await page.getByRole("button", { name: "Sign in again" }).click();
  await tile("CPU").waitFor();
  faults = faults.filter((fault) => !/401|ERR_/.test(fault));
});

for (const [timezoneId, configured, expected] of [
  ["America/New_York", null, { zone: "America/New_York", shown: "2026-03-08 03:30:00", typed: "2026-03-08T03:30:00" }],
  ["America/New_York", "Europe/Berlin", { zone: "Europe/Berlin", shown: "2026-03-08 08:30:00", typed: "2026-03-08T08:30:00" }],
  ["Pacific/Auckland", "UTC", { zone: "UTC", shown: "2026-03-08 07:30:00", typed: "2026-03-08T07:30:00" }],
  ["Asia/Kathmandu", null, { zone: /Asia\/Kath?mandu/, shown: "2026-03-08 13:15:00", typed: "2026-03-08T13:15:00" }],
]) {
  test(`times in a browser in ${timezoneId}${configured ? ` of a service in ${configured}` : ""}`, async () => {
    const elsewhere = await launch([], { timezoneId });
    try {
      // Half an hour after New York's clocks went forward.
      const at = Date.parse("2026-03-08T07:30:00Z");
      let sent = [];
      ({ page, faults } = await open(elsewhere.browser, new URL(`#/reports?window=${at}-${at + 3_600_000}`, url).href, async (fresh) => {
        const { info } = await import("./service.mjs");
        sent = await fake(fresh, { "service-info": { ...info, time_zone: configured } });
      }));
      // Newest first: the last row is the first time.
      await page.getByRole("button", { name: /rows are not shown/ }).click();
      await page.waitForFunction((shown) => [...document.querySelectorAll(".samples tbody th")].at(-1)?.textContent === shown, expected.shown);
      const { body } = sent.findLast(({ name }) => name === "reports");
      assert.equal(body.start_time, "2026-03-08T07:30:00.000Z");

      await page.locator(".range > button").click();
      const from = page.getByLabel("From", { exact: true });
      assert.equal((await from.inputValue()).padEnd(19, ":00"), expected.typed);
      await page.locator(".between [role=status]", { hasText: expected.zone }).waitFor();
      // What is typed is meant in the zone that is shown: the same day, an hour earlier than at first.
      await from.fill(expected.typed.replace(/T(\d\d)/, (_, hour) => `T${String(Number(hour) - 1).padStart(2, "0")}`));
      await page.getByRole("button", { name: "Show", exact: true }).click();
      await page.locator(".between").waitFor({ state: "detached" });
      const [, begin] = /window=(\d+)-/.exec(page.url());
      // In New York 02:30 was skipped that night, and means 03:30.
      assert.equal(Number(begin), expected.zone === "America/New_York" ? at : at - 3_600_000);
    } finally {
      await page.close();
      await elsewhere.close();
    }
  });
}

test("the zone can be chosen", async () => {
  const { info } = await import("./service.mjs");
  await visit("#/settings", { "service-info": { ...info, time_zone: "Asia/Kathmandu" } });
  const choice = page.getByRole("combobox", { name: "Time zone" });
  await page.waitForFunction(() => document.querySelector("select[aria-label='Time zone']").value === "service");
  const time = page.locator("[data-exporter=otlp] td").nth(5);
  await time.getByText("2026-11-28 18:44:58").waitFor();
  await choice.selectOption("utc");
  await time.getByText("2026-11-28 12:59:58").waitFor();
  await page.reload();
  await time.getByText("2026-11-28 12:59:58").waitFor();
  await page.evaluate(() => localStorage.clear());
});

test("every page fits a narrow window", async () => {
  await visit("#/", {});
  await page.setViewportSize({ width: 400, height: 800 });
  for (const hash of hashes) {
    await page.goto(new URL(hash, url).href);
    await page.locator("main .panel").first().waitFor();
    assert.ok((await overflow()) <= 0, `${hash}: ${await overflow()} px too wide`);
  }
});

test("every page is accessible by the rules of axe-core, in light and dark", async () => {
  await visit("#/", {});
  for (const colorScheme of ["light", "dark"]) {
    for (const hash of hashes) {
      await page.emulateMedia({ colorScheme });
      await page.goto(new URL(hash, url).href);
      await page.locator("main .panel").first().waitFor();
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
      assert.deepEqual(found, [], `${colorScheme} ${hash}`);
    }
  }
});
