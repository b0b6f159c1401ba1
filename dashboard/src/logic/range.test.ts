import { describe, expect, test } from "vitest";
import { boundsOf, defaultRange, parseRange, rangeText, restOf, windowParams, type Range } from "./range";

const anchor = 1_795_435_809_992_936_000;

describe("links", () => {
  test.each<Range>([10, 3600, 604_800, "all", 1234, { fromMs: 5, toMs: 6 }])("hold %j", (range) => {
    expect(parseRange(rangeText(range))).toEqual(range);
  });

  test("with nonsense hold nothing", () => {
    for (const text of [null, "", "0", "-5", "6-5", "5-5", "1e9", "2-3-4", "whole", "1234567890"]) expect(parseRange(text), String(text)).toBeNull();
  });
});

describe("parameters", () => {
  test("end at the last flush only when frozen", () => {
    expect(windowParams("all", anchor, false)).toEqual({});
    expect(windowParams(60, null, true)).toEqual({});
    const frozen = windowParams(60, anchor, true);
    expect(BigInt(frozen["to"] ?? 0) - BigInt(frozen["from"] ?? 0)).toBe(60_000_000_000n);
    expect(windowParams(10, anchor, false)["to"]).toBeUndefined();
    expect(frozen["from"]).toMatch(/^\d{19}$/);
  });

  test("of a chosen time are that time, live or not", () => {
    const range = { fromMs: 1_764_337_000_123, toMs: 1_764_338_000_456 };
    const params = { from: "1764337000123000000", to: "1764338000456000000" };
    expect(windowParams(range, anchor, false)).toEqual(params);
    expect(windowParams(range, null, true)).toEqual(params);
  });
});

test("bounds are never empty and hold the last flush", () => {
  const started = anchor - 30e9;
  for (const range of [10, 86_400, "all", { fromMs: 1, toMs: 2 }] as const) {
    for (const last of [null, anchor]) {
      const { fromMs, toMs } = boundsOf(range, started, last);
      expect(fromMs).toBeLessThan(toMs);
      if (last !== null && typeof range !== "object") expect(toMs * 1e6).toBeGreaterThan(last);
    }
  }
  expect(boundsOf(86_400, started, anchor).toMs - boundsOf(86_400, started, anchor).fromMs).toBe(86_400_000);
  expect(boundsOf("all", started, anchor).fromMs).toBe(Math.floor(started / 1e6));
});

test("a young or finished recording is shown whole, an old one its last hour", () => {
  expect(defaultRange(anchor - 60e9, anchor, false)).toBe("all");
  expect(defaultRange(anchor - 2 * 3600e9, anchor, false)).toBe(3600);
  expect(defaultRange(anchor - 2 * 3600e9, anchor, true)).toBe("all");
  expect(defaultRange(anchor, null, false)).toBe("all");
});

test("long ranges are looked at more rarely, and never too rarely", () => {
  const rest = (seconds: number): number => restOf({ fromMs: 0, toMs: seconds * 1000 });
  expect(rest(10)).toBe(1000);
  expect(rest(3600)).toBe(12_000);
  expect(rest(604_800)).toBe(30_000);
});
