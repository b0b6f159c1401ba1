import { describe, expect, test } from "vitest";
import type { Bucket, FunctionRow } from "../api";
import { heatColour, strength } from "./heat";
import { bars, density } from "./histogram";
import { format, home, opened, parse, turned, weighed, weights, type Route } from "./route";
import { defaultSort, filtered, sorted, toggled } from "./table";
import { logTicks, timeTicks } from "./ticks";

const row = (id: number, name: string, calls: number, p99: number): FunctionRow => ({
  id, name, image: "/bin/x", file: `src/${name}.rs`, line: id, calls, calls_error: 0, timed: calls, unwound: 0, in_flight: 0, unmatched: 0,
  rate: calls, share: 0,
  latency_ns: { min: 1, mean: 1, p50: 1, p90: 1, p99, p999: 1, max: 1, total: calls * p99 },
  probes_ns: 0,
  self_ns: id === 2 ? null : calls * p99 - 10 * id,
  probe: { entry: "0x1", exit: "ret", sites: 2, cost_class: "emulated", cost_ns: 0, floor_ns: 0 },
});
const rows = [row(0, "beta::run", 5, 10), row(1, "Alpha::run", 5, 30), row(2, "gamma::stop", 1, 20)];
const ids = (list: FunctionRow[]): number[] => list.map((each) => each.id);

describe("function table", () => {
  test("sorts, with ties in order of id", () => {
    expect(ids(sorted(rows, { column: "name", descending: false }))).toEqual([1, 0, 2]);
    expect(ids(sorted(rows, { column: "p99", descending: true }))).toEqual([1, 2, 0]);
    expect(ids(sorted(rows, { column: "calls", descending: true }))).toEqual([0, 1, 2]);
    expect(ids(sorted(rows, { column: "calls", descending: false }))).toEqual([2, 0, 1]);
    expect(ids(sorted(rows, { column: "self", descending: true }))).toEqual([1, 0, 2]);
    expect(ids(rows)).toEqual([0, 1, 2]);
  });

  test("a header's click starts with what is looked for", () => {
    expect(toggled(defaultSort, "p99")).toEqual({ column: "p99", descending: true });
    expect(toggled(defaultSort, "name")).toEqual({ column: "name", descending: false });
    expect(toggled(defaultSort, "total")).toEqual({ column: "total", descending: false });
  });

  test("a filter wants every word, in name or file", () => {
    expect(ids(filtered(rows, "RUN"))).toEqual([0, 1]);
    expect(ids(filtered(rows, "run alpha"))).toEqual([1]);
    expect(ids(filtered(rows, "stop.rs"))).toEqual([2]);
    expect(ids(filtered(rows, " "))).toEqual([0, 1, 2]);
  });
});

describe("route", () => {
  const routes: Route[] = [
    home,
    { ...home, page: "functions", fn: 3, range: 60, weight: "calls", search: "a b&c=ü" },
    { ...home, page: "functions", fn: 3, weight: "calls", root: "callers" },
    { ...home, page: "functions", fn: 3, root: "callers" },
    { ...home, page: "functions", filter: "x#y?z", sort: { column: "name", descending: false } },
    { ...home, page: "flame", weight: "offcpu" },
    { ...home, page: "flame", fn: 12, weight: "cpu", root: "callers", range: { fromMs: 1_764_337_000_000, toMs: 1_764_338_000_000 } },
    { ...home, page: "routines", range: 10, state: "waiting", filter: "lock" },
    { ...home, page: "reports", topic: "FunctionLatency", range: "all" },
    { ...home, page: "settings", range: 259_200 },
    { ...home, sort: { column: "p99", descending: true } },
  ];
  test.each(routes)("survives the address bar: %j", (route) => {
    expect(parse(format(route))).toEqual(route);
  });

  test("ignores what it does not understand", () => {
    for (const hash of ["", "#", "#/fn/x", "#/fn/-1", "#/nowhere?window=7x&weight=mass&sort=size&topic=x", "#/?window=9-3"]) {
      expect(parse(hash)).toEqual(home);
    }
    expect(format(home)).toBe("#/");
  });

  test("a flame graph of a function begins there, and then weighs what was sampled", () => {
    expect(parse("#/fn/3").root).toBe("function");
    expect(parse("#/fn/3?weight=offcpu").root).toBe("function");
    // Links that say nothing else than this meant it with callers.
    expect(parse("#/fn/3?weight=calls").root).toBe("callers");
    expect(weighed(parse("#/fn/3"))).toEqual({ offered: ["time", "cpu", "offcpu"], weight: "time" });
    expect(weighed(parse("#/fn/3?weight=calls&root=function")).weight).toBe("time");
    expect(weighed(parse("#/fn/3?root=callers"))).toEqual({ offered: weights, weight: "wall" });
    expect(weighed(parse("#/flame?weight=calls"))).toEqual({ offered: weights, weight: "calls" });
  });

  test("pages have their own address, and keep the part of the time", () => {
    const from: Route = { ...home, page: "functions", fn: 3, range: 60, filter: "a", search: "b", selection: { ...home.selection, percentile: 99 } };
    expect(format({ ...from, ...turned("routines") })).toBe("#/routines?window=60");
    expect(format({ ...from, ...opened(4) })).toBe("#/fn/4?window=60&filter=a");
    expect(format({ ...from, page: "flame" })).toBe("#/flame/3?window=60&filter=a&search=b&percentile=99");
  });
});

describe("histogram", () => {
  // 1 µs to 16 µs in 32 buckets per power of two, 1 call each.
  const buckets: Bucket[] = [];
  for (let octave = 1024; octave < 16_384; octave *= 2) {
    for (let sub = 0; sub < 32; sub += 1) {
      const width = octave / 32;
      buckets.push({ low_ns: octave + sub * width, high_ns: octave + (sub + 1) * width, count: 1 });
    }
  }

  test("merges to at most so many bars and loses no call", () => {
    for (const most of [200, 100, 40, 10, 4]) {
      const list = bars(buckets, most);
      expect(list.length).toBeLessThanOrEqual(most);
      expect(list.reduce((sum, bar) => sum + bar.count, 0)).toBe(128);
      expect(list[list.length - 1]?.upTo).toBe(128);
      list.forEach((bar, index) => { expect(bar.high).toBeLessThanOrEqual(list[index + 1]?.low ?? Infinity); });
    }
    expect(bars([], 10)).toEqual([]);
  });

  test("keeps single nanoseconds", () => {
    const list = bars([{ low_ns: 0, high_ns: 1, count: 2 }, { low_ns: 5, high_ns: 6, count: 3 }], 100);
    expect(list.map((bar) => [bar.low, bar.count])).toEqual([[0, 2], [5, 3]]);
    expect(list.every((bar) => Number.isFinite(density(bar)))).toBe(true);
  });

  test("equal areas where calls are spread evenly over the logarithm", () => {
    const bar = (low: number, high: number): number => density({ low, high, count: Math.log(high / low), upTo: 0 });
    expect(bar(1000, 1031)).toBeCloseTo(bar(1969, 2000));
  });
});

test("ticks are round and few", () => {
  expect(logTicks(900, 120_000, 10)).toEqual([1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]);
  expect(logTicks(900, 120_000, 5)).toEqual([1000, 3000, 10_000, 30_000, 100_000]);
  expect(logTicks(1, 1e12, 4).length).toBeLessThanOrEqual(5);
  const from = 1_700_000_003e9;
  const ticks = timeTicks(from, from + 60e9, 6);
  expect(ticks.length).toBeGreaterThan(2);
  expect(ticks.length).toBeLessThanOrEqual(7);
  expect(ticks.every((tick) => tick % 10e9 === 0)).toBe(true);
});

test("heat grows with calls and shows a single one", () => {
  expect(strength(0, 100)).toBe(0);
  expect(strength(1, 10_000)).toBeGreaterThan(0.05);
  expect(strength(100, 100)).toBe(1);
  expect(strength(1, 1)).toBe(1);
  expect(heatColour(0, false)).not.toBe(heatColour(1, false));
  expect(heatColour(0.5, true)).toMatch(/^rgb\(\d+ \d+ \d+\)$/);
});
