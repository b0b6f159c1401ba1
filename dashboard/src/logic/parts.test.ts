import { expect, test } from "vitest";
import { describe, partsOf } from "./parts";

test("parts come in the order of the bar, without empty ones", () => {
  const parts = partsOf({ wall: 200, on_cpu: 60, runnable: 0, blocked: { lock: 80, io: 20 }, unattributed: 40 });
  expect(parts.map((part) => [part.key, part.share])).toEqual([
    ["on_cpu", 0.3], ["lock", 0.4], ["io", 0.1], ["unattributed", 0.2],
  ]);
  expect(describe(parts, (share) => `${share * 100}%`)).toBe("on CPU 30%, lock 40%, I/O 10%, unattributed 20%");
});

test("no time has no parts", () => {
  expect(partsOf({ wall: 0, on_cpu: 0, runnable: 0, blocked: {}, unattributed: 0 })).toEqual([]);
});
