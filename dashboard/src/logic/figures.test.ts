import { expect, test } from "vitest";
import type { FunctionRow } from "../api";
import { callsTracedFunctions, cost, shownCalls, shownCallsShort, shownNs, shownRate, shownSelf, shownTotal } from "./figures";

const row: FunctionRow = {
  id: 0, name: "main.process_order", image: "/srv/orders", file: null, line: null,
  calls: 1001, calls_error: 0, timed: 1001, unwound: 0, in_flight: 0, unmatched: 0, rate: 334, share: 1,
  latency_ns: { min: 1000, mean: 549_950, p50: 503_808, p90: 1, p99: 1, p999: 1, max: 1, total: 550_400_000 },
  self_ns: 550_400_000, probes_ns: 1001 * 16_000,
  probe: { entry: "0x1", exit: "ret", sites: 3, cost_class: "single-step", cost_ns: 16_000, floor_ns: 150 },
};
const figures = (changes: Partial<FunctionRow>): string[] => {
  const changed = { ...row, ...changes };
  return [
    shownCalls(changed), shownCallsShort(changed), shownNs(changed, changed.latency_ns.p50), shownTotal(changed), shownSelf(changed),
  ];
};

// The same cases as monigo-userspace/src/export/figures.rs.
test("what is uncertain is marked", () => {
  expect(figures({})).toEqual(["1,001", "1,001", "504 µs", "550 ms", "550 ms"]);
  expect(figures({ self_ns: 100_000, calls_error: 40 })).toEqual(["≈ 1,000 ± 40", "≈1k", "504 µs", "≈ 550 ms", "< 150 µs"]);
  expect(figures({ timed: 10, self_ns: null })).toEqual(["1,001", "1,001", "504 µs", "≈ 550 ms", "–"]);
  expect(figures({ timed: 0 })).toEqual(["1,001", "1,001", "–", "–", "–"]);
  const latency_ns = { min: 7, mean: 7, p50: 0, p90: 0, p99: 0, p999: 0, max: 9, total: 7007 };
  expect(figures({ latency_ns, self_ns: 7007 })).toEqual(["1,001", "1,001", "–", "< 150 µs", "< 150 µs"]);
  expect(shownNs({ ...row, latency_ns }, 9)).toBe("< 150 ns");
});

test("estimated rates are short", () => {
  expect(shownRate({ ...row, rate: 34_209 })).toBe("34,209/s");
  expect(shownRate({ ...row, rate: 34_209, calls_error: 9 })).toBe("≈34.2k/s");
});

test("self time is of interest where it differs", () => {
  expect(callsTracedFunctions(row)).toBe(false);
  expect(callsTracedFunctions({ ...row, self_ns: 1 })).toBe(true);
  expect(callsTracedFunctions({ ...row, self_ns: null })).toBe(false);
});

test("what probes cost", () => {
  expect(cost([row, { ...row, rate: 666 }])).toBe("probes cost about 1.6% of one CPU");
  expect(cost([{ ...row, probes_ns: 0 }])).toBe("");
  expect(cost([{ ...row, calls: 0, rate: 0 }])).toBe("");
});
