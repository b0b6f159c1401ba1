import { expect, test } from "vitest";
import {
  basename, clock, count, duration, durationTick, estimate, measured, parseDuration, percent, rate, shortCount, shortEstimate, signed, summed, weight,
} from "./format";

// The same cases as monigo-userspace/src/export/format.rs: a figure looks the same everywhere.
test.each([
  [0, "0 ns"], [7, "7 ns"], [999, "999 ns"], [1000, "1.00 µs"], [1234, "1.23 µs"], [9_994, "9.99 µs"],
  [9_996, "10.0 µs"], [99_960, "100 µs"], [999_499, "999 µs"], [999_500, "1.00 ms"], [45_600_000, "45.6 ms"],
  [999_999_999, "1.00 s"], [12_000_000_000, "12.0 s"], [59_940_000_000, "59.9 s"], [59_960_000_000, "1m 00s"],
  [185_000_000_000, "3m 05s"], [7_640_000_000_000, "2h 07m"], [443_000_000_000_000, "5d 03h"],
])("duration of %d ns is %s", (ns, text) => {
  expect(duration(ns)).toBe(text);
});

test("durations below the floor are bounds", () => {
  expect([[0, 160], [159, 160], [160, 160], [0, 0], [7, 1200]].map(([ns, floor]) => measured(ns ?? 0, floor ?? 0))).toEqual([
    "< 160 ns", "< 160 ns", "160 ns", "0 ns", "< 1.20 µs",
  ]);
  expect(summed(0, 200_000, 160)).toBe("< 32.0 ms");
  expect(summed(31_999_999, 200_000, 160)).toBe("< 32.0 ms");
  expect(summed(32_000_000, 200_000, 160)).toBe("32.0 ms");
  expect(summed(0, 0, 160)).toBe("0 ns");
});

test.each([
  [12_345, 0, "12,345", "12,345"],
  [12_345, 398, "≈ 12,300 ± 400", "≈12.3k"],
  [12_345, 120, "≈ 12,350 ± 120", "≈12.3k"],
  [12_345, 121, "≈ 12,350 ± 130", "≈12.3k"],
  [12_345, 1, "≈ 12,345 ± 1", "≈12.3k"],
  [12_345, 98, "≈ 12,350 ± 100", "≈12.3k"],
  [950, 20, "≈ 950 ± 20", "≈950"],
  [5_000_000, 9_500, "≈ 5,000,000 ± 10,000", "≈5M"],
])("%d calls give or take %d are %s", (value, error, text, short) => {
  expect(estimate(value, error)).toBe(text);
  expect(shortEstimate(value, error)).toBe(short);
});

test("counts are grouped", () => {
  expect(count(0)).toBe("0");
  expect(count(999)).toBe("999");
  expect(count(1_234_567)).toBe("1,234,567");
});

test("rates keep three digits", () => {
  expect([0, Number.NaN, 0.0001, 0.25, 12.34, 99.96, 20_012.6].map(rate)).toEqual([
    "0/s", "0/s", "<0.001/s", "0.250/s", "12.3/s", "100/s", "20,013/s",
  ]);
});

test("shares", () => {
  expect([0, 0.0005, 0.042, 0.9996, 1, Number.NaN].map(percent)).toEqual([
    "0%", "<0.1%", "4.2%", "100%", "100%", "0%",
  ]);
});

test("short forms", () => {
  expect([0, 950, 1000, 12_345, 4_560_000, 7e9, 3e12].map(shortCount)).toEqual([
    "0", "950", "1k", "12.3k", "4.56M", "7G", "3T",
  ]);
  expect([1, 20, 1500, 10_000, 2e6, 5e9, 60e9].map(durationTick)).toEqual([
    "1 ns", "20 ns", "1.5 µs", "10 µs", "2 ms", "5 s", "1m 00s",
  ]);
  expect(weight(1, "calls")).toBe("1 call");
  expect(weight(1500, "wall")).toBe("1.50 µs");
  expect(weight(1500, "offcpu")).toBe("1.50 µs");
  expect(basename("/srv/orders/orderd")).toBe("orderd");
});

test("clock shows local time", () => {
  const noon = new Date(2026, 0, 2, 12, 3, 4, 50).getTime() * 1e6;
  expect(clock(noon)).toBe("12:03:04");
  expect(clock(noon, 3)).toBe("12:03:04.050");
});

test("durations as people write them", () => {
  const read = ["10 ms", "2.5ms", " 3 µs ", "40us", "7ns", ".5 s", "1m"].map(parseDuration);
  expect(read).toEqual([10e6, 2.5e6, 3000, 40_000, 7, 5e8, 60e9]);
  for (const text of ["", "10", "soon", "-3 ms", "0 ms", "1 h", "1e3 ms"]) expect(parseDuration(text)).toBeNull();
});

test("changes carry their sign", () => {
  expect([12.3e6, -4000, 0].map(signed)).toEqual(["+12.3 ms", "−4.00 µs", "±0"]);
});
