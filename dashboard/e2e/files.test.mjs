// Files that the dashboard offers, opened by what they are for.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";

const url = process.env.MONIGO_URL;
assert.ok(url, "set MONIGO_URL to the address that monigo printed");

let chromium;
let folder;

before(async () => {
  chromium = await launch(["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]);
  folder = mkdtempSync(join(tmpdir(), "monigo-files-"));
});
after(async () => {
  await chromium?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function fetched(name) {
  const answer = await fetch(new URL(`/api/v1/${name}`, url));
  assert.equal(answer.status, 200, name);
  return Buffer.from(await answer.arrayBuffer());
}

test("a saved page shows the flame graph without a server", async () => {
  const file = join(folder, "flame.html");
  writeFileSync(file, await fetched("flamegraph.html?weight=calls"));
  const page = await chromium.browser.newPage();
  const faults = [];
  page.on("console", (message) => faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("request", (request) => { if (!request.url().startsWith("file:")) faults.push(request.url()); });
  await page.goto(pathToFileURL(file).href);
  const canvas = page.locator(".flame canvas");
  await canvas.waitFor();
  assert.ok(Number(await canvas.getAttribute("data-frames")) > 3);
  await page.getByRole("searchbox").fill("ProcessOrder");
  await page.locator("[data-matched]").waitFor();
  assert.ok(Number(await page.locator("[data-matched]").getAttribute("data-matched")) > 0);
  await canvas.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".flame canvas").dataset.zoom !== "all");
  const weights = page.getByRole("group", { name: "Width of a frame" }).getByRole("button");
  assert.ok((await weights.count()) >= 2);
  assert.deepEqual(faults, []);
  await page.close();
});

/** Has speedscope open a file, and hands its page to `look`. */
async function inSpeedscope(name, content, look) {
  const release = dirname(createRequire(import.meta.url).resolve("speedscope/dist/release/index.html"));
  const kinds = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    try {
      const body = path === `/${name}` ? content : readFileSync(join(release, path));
      response.setHeader("content-type", kinds[extname(path)] ?? "application/octet-stream");
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((listening) => { server.listen(0, "127.0.0.1", listening); });
  const page = await chromium.browser.newPage();
  try {
    const here = `http://127.0.0.1:${server.address().port}`;
    const refused = [];
    page.on("dialog", (dialog) => { refused.push(dialog.message()); void dialog.dismiss(); });
    await page.goto(`${here}/index.html#profileURL=${encodeURIComponent(`${here}/${name}`)}`);
    await look(page);
    assert.deepEqual(refused, []);
  } finally {
    await page.close();
    server.close();
  }
}

test("speedscope opens its file", async () => {
  const profile = await fetched("flamegraph.speedscope.json?weight=calls");
  await inSpeedscope("profile.json", profile, async (page) => {
    await page.getByText(/^calls \(/).waitFor();
    assert.match(await page.title(), /orders.* - speedscope$/);
  });
});

// It reads the trace events of Chrome and Perfetto, whose own viewers come from no registry.
test("a reader of trace events opens the story of a call", async () => {
  const [slowest] = JSON.parse(await fetched("calls?limit=1"));
  const trace = await fetched(`story/${slowest.key}/trace.json`);
  const [thread] = JSON.parse(trace).traceEvents.filter((event) => event.name === "thread_name");
  await inSpeedscope("trace.json", trace, async (page) => {
    await page.getByText(thread.args.name).first().waitFor();
    assert.match(await page.title(), / - speedscope$/);
  });
});
