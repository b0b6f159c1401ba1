// A headless Chromium on an empty profile, and a watch on what the page does.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Starts a browser, with further flags and options. `CHROMIUM` names another executable than Debian's. */
export async function launch(more = [], options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "monigo-e2e-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...flags, ...more],
    viewport: { width: 1440, height: 900 },
    colorScheme: "light",
    ...options,
  });
  browser.setDefaultTimeout(15_000);
  return {
    browser,
    async close() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Opens a page and collects what must not happen: errors on the console, requests to elsewhere. `prepare` gets the page
 * before it is opened.
 */
export async function open(browser, url, prepare = async () => {}) {
  const page = await browser.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.stack}`));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== "data:" && asked.origin !== new URL(url).origin) faults.push(`request to ${asked}`);
  });
  await prepare(page);
  await page.goto(url);
  await page.locator(".functions tbody tr, main h1").first().waitFor({ state: "attached" });
  return { page, faults };
}
