import { describe as group, expect, test } from "vitest";
import type { Bucket, Heatmap } from "../api";
import { format, home, opened, parse } from "./route";
import {
  againstParams, areaOf, callParams, callsIn, countSelected, describe, everything, isEverything, placeOf, selectionOf, slowest, tailParams, timeParams,
  type Selection,
} from "./selection";

const of = (part: Partial<Selection>): Selection => ({ ...everything, ...part });

// Three columns of 1 s and four rows; 1,700,000,000.25 s is not a whole number of ms in ns.
const second = 1e9;
const begin = 1_700_000_000_250_000_512;
const map: Heatmap = {
  times_ns: [begin, begin + second, begin + 2 * second],
  step_ns: second,
  rows_ns: [1000, 2000, 4000, 8000],
  top_ns: 16_000,
  counts: [[1, 2, 3, 4], [0, 0, 5, 0], [9, 0, 0, 1]],
};

group("a region of the heatmap", () => {
  test("counts what is inside, whichever corner it is drawn from", () => {
    const area = areaOf({ column: 1, row: 3 }, { column: 0, row: 2 });
    expect(area).toEqual({ left: 0, right: 1, bottom: 2, top: 3 });
    expect(callsIn(map, area)).toBe(12);
  });

  test("selects flushes that end inside, and durations that its rows hold", () => {
    const selection = selectionOf(map, areaOf({ column: 1, row: 1 }, { column: 1, row: 2 }));
    const from = selection.fromMs ?? 0;
    // The flush that ends at the left edge is outside, the one at the right edge inside.
    expect(from * 1e6).toBeGreaterThan(begin + second);
    expect(from * 1e6 - (begin + second)).toBeLessThanOrEqual(1e6);
    expect((selection.toMs ?? 0) - from).toBe(1000);
    expect([selection.slowerNs, selection.fasterNs]).toEqual([2000, 8000]);
  });

  test("of the whole height selects no durations, and its top row what is longer, too", () => {
    const whole = selectionOf(map, areaOf({ column: 0, row: 0 }, { column: 2, row: 3 }));
    expect([whole.slowerNs, whole.fasterNs]).toEqual([null, null]);
    const top = selectionOf(map, areaOf({ column: 2, row: 3 }, { column: 2, row: 3 }));
    expect([top.slowerNs, top.fasterNs]).toEqual([8000, null]);
  });

  test("is drawn again where it was", () => {
    const selection = selectionOf(map, areaOf({ column: 1, row: 1 }, { column: 2, row: 2 }));
    const place = placeOf(map, selection);
    expect(place?.x[0]).toBeCloseTo(1, 2);
    expect(place?.x[1]).toBeCloseTo(3, 2);
    expect(place?.y).toEqual([1, 3]);
  });

  test("is not drawn when it is elsewhere, or everything", () => {
    expect(placeOf(map, everything)).toBeNull();
    expect(placeOf(map, of({ percentile: 99 }))).toBeNull();
    expect(placeOf(map, of({ fromMs: 1000, toMs: 2000 }))).toBeNull();
    expect(placeOf(map, of({ slowerNs: 1e9 }))).toBeNull();
  });
});

group("parameters", () => {
  const window = { from: "5", to: "9" };
  test("the time of a selection replaces the window", () => {
    expect(timeParams(window, of({ slowerNs: 1 }))).toEqual(window);
    expect(timeParams(window, of({ fromMs: 1_700_000_000_123, toMs: 1_700_000_000_456 })))
      .toEqual({ from: "1700000000123000000", to: "1700000000456000000" });
  });

  test("durations, or a percentile", () => {
    expect(callParams({}, of({ slowerNs: 10, fasterNs: 20 }))).toEqual({ slower_than: "10", faster_than: "20" });
    expect(callParams({}, of({ percentile: 99.9 }))).toEqual({ percentile: "99.9" });
    expect(tailParams(window, of({ slowerNs: 10, fasterNs: 20 }))).toEqual({ ...window, slower_than: "10" });
    expect(tailParams(window, of({ fasterNs: 20 }))).toEqual(window);
  });
});

group("a selected time", () => {
  const selection = of({ fromMs: 2000, toMs: 3000, slowerNs: 7 });
  const at = { from: "2000000000", to: "3000000000" };
  test("is compared with the rest of the window", () => {
    expect(againstParams({}, selection, "before")).toEqual({ ...at, against_to: at.from });
    expect(againstParams({}, selection, "after")).toEqual({ ...at, against_from: at.to });
    const window = { from: "1000000000", to: "9000000000" };
    expect(againstParams(window, selection, "before")).toEqual({ ...at, against_from: window.from, against_to: at.from });
    expect(againstParams(window, selection, "after")).toEqual({ ...at, against_from: at.to, against_to: window.to });
  });

  test("lies outside of a window that is later", () => {
    expect(againstParams({ from: "4000000000" }, selection, "before")).toEqual({ ...at, against_to: at.from });
  });

  test("is needed", () => {
    expect(againstParams({}, of({ slowerNs: 7 }), "before")).toBeNull();
  });
});

group("in a link", () => {
  test("survives it", () => {
    for (const selection of [
      everything,
      of({ fromMs: 1_700_000_000_123, toMs: 1_700_000_005_000, slowerNs: 2000, fasterNs: 8000 }),
      of({ percentile: 99.9 }),
      of({ fromMs: 1_700_000_000_123 }),
    ]) {
      const route = { ...home, page: "functions" as const, fn: 3, selection, root: "callers" as const, call: "3-77-1795460521877934135" };
      expect(parse(format(route))).toEqual(route);
    }
  });

  test("that says what cannot be is read without it", () => {
    expect(parse("#/fn/3?from=9&to=5&slower=7").selection).toEqual(of({ slowerNs: 7 }));
    expect(parse("#/fn/3?slower=7&faster=7&percentile=100").selection).toEqual(everything);
    expect(parse("#/fn/3?slower=7&percentile=99").selection).toEqual(of({ slowerNs: 7 }));
    expect(parse("#/fn/3?slower=x&from=1e5&call=javascript").selection).toEqual(everything);
    expect(parse("#/fn/3?call=1-2-x").call).toBeNull();
    // Durations are about one function.
    expect(parse("#/?slower=7&root=callers")).toEqual(home);
  });

  test("goes when another function is opened", () => {
    const route = { ...home, page: "functions" as const, fn: 3, selection: of({ slowerNs: 7 }), weight: "cpu" as const };
    expect({ ...route, ...opened(4) }).toEqual({ ...home, page: "functions", fn: 4, weight: "cpu" });
  });
});

group("in words", () => {
  test("says durations and times", () => {
    expect(describe(of({ slowerNs: 12.4e6, fasterNs: 30e6 }))).toBe("12.4 ms to 30.0 ms");
    expect(describe(of({ slowerNs: 10e6 }))).toBe("10.0 ms and longer");
    expect(describe(of({ fasterNs: 1000 }))).toBe("below 1.00 µs");
    expect(describe(of({ percentile: 99.9 }))).toBe("slowest 0.1%");
    expect(describe(of({ fromMs: 1_700_000_000_000, toMs: 1_700_000_005_000 }))).toMatch(/^\d\d:\d\d:20 to \d\d:\d\d:25$/);
    expect(isEverything(everything)).toBe(true);
    expect(slowest(95)).toBe("5%");
  });

  const bucket = (low_ns: number, high_ns: number, count: number): Bucket => ({ low_ns, high_ns, count });
  const buckets = [bucket(1000, 1032, 90), bucket(2000, 2064, 9), bucket(4000, 4128, 1)];
  test("counts the calls of every bucket inside", () => {
    expect(countSelected(buckets, of({ slowerNs: 2000, fasterNs: 4000 }))).toEqual({ calls: 9, lowNs: 2000 });
    expect(countSelected(buckets, everything).calls).toBe(100);
    expect(countSelected([], of({ percentile: 99 })).calls).toBe(0);
  });

  test("finds where a percentile begins, as monigo does", () => {
    expect(countSelected(buckets, of({ percentile: 99 }))).toEqual({ calls: 1, lowNs: 4000 });
    expect(countSelected(buckets, of({ percentile: 90 }))).toEqual({ calls: 10, lowNs: 2000 });
    expect(countSelected(buckets, of({ percentile: 50 }))).toEqual({ calls: 100, lowNs: 1000 });
  });
});
