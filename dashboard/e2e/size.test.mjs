// What a browser has to fetch.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const LIMIT = 350 * 1024;
const dist = join(import.meta.dirname, "../dist");

test("everything together stays below 350 KiB gzipped", () => {
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const sizes = files.map((entry) => [join(entry.parentPath, entry.name), gzipSync(readFileSync(join(entry.parentPath, entry.name))).length]);
  assert.ok(sizes.some(([name]) => name.endsWith(".js")), "the dashboard is built");
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(total < LIMIT, `${total} bytes: ${sizes.map(([name, size]) => `${name.slice(dist.length)} ${size}`).join(", ")}`);
});
