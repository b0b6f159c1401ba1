import { afterEach, describe, expect, test } from "vitest";
import { fromWall, inputText, isZone, offsetAt, offsetText, parseInput, setZone, wallAt, zoneName } from "./zone";
import { axisTime, clock, moment, stamp } from "./format";

afterEach(() => { setZone(null); });

const at = (text: string): number => Date.parse(text);

describe("a zone with daylight saving", () => {
  test("shows its own wall clock", () => {
    setZone("Europe/Berlin");
    expect(zoneName()).toBe("Europe/Berlin");
    expect(wallAt(at("2026-01-15T12:00:00.250Z"))).toEqual({ year: 2026, month: 1, day: 15, hour: 13, minute: 0, second: 0, milli: 250 });
    expect(wallAt(at("2026-07-15T22:30:00Z"))).toMatchObject({ month: 7, day: 16, hour: 0, minute: 30 });
    expect(offsetText(at("2026-07-15T12:00:00Z"))).toBe("UTC+02:00");
    expect(offsetText(at("2026-01-15T12:00:00Z"))).toBe("UTC+01:00");
  });

  test("changes at the very second", () => {
    setZone("America/New_York");
    const change = at("2026-03-08T07:00:00Z");
    expect(inputText(change - 1000)).toBe("2026-03-08T01:59:59");
    expect(inputText(change)).toBe("2026-03-08T03:00:00");
  });

  test("a skipped time is after the gap, a doubled one the first", () => {
    setZone("Europe/Berlin");
    expect(parseInput("2026-03-29T02:30")).toBe(at("2026-03-29T01:30:00Z"));
    expect(parseInput("2026-10-25T02:30")).toBe(at("2026-10-25T00:30:00Z"));
    expect(parseInput("2026-10-25T03:00")).toBe(at("2026-10-25T02:00:00Z"));
  });

  test("every time comes back, but for the doubled hour", () => {
    for (const name of ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]) {
      setZone(name);
      // Every 7 hours of a year, and every 10 minutes of the days when the offset changes.
      const times: number[] = [];
      for (let ms = at("2026-01-01T00:00:00Z"); ms < at("2027-01-01T00:00:00Z"); ms += 7 * 3_600_000) {
        times.push(ms);
        if (offsetAt(ms) === offsetAt(ms + 7 * 3_600_000)) continue;
        for (let fine = ms - 10_800_000; fine < ms + 10 * 3_600_000; fine += 600_000) times.push(fine);
      }
      for (const ms of times) {
        const back = parseInput(inputText(ms));
        const earlier = back !== null && back < ms && ms - back <= 3_600_000 && inputText(back) === inputText(ms);
        expect(back === ms || earlier, `${name} ${new Date(ms).toISOString()}`).toBe(true);
      }
    }
  });
});

test("zones with odd offsets and none", () => {
  setZone("Asia/Kathmandu");
  expect(offsetText(0)).toBe("UTC+05:30");
  expect(offsetText(at("2026-01-01T00:00:00Z"))).toBe("UTC+05:45");
  setZone("America/St_Johns");
  expect(offsetText(at("2026-01-01T00:00:00Z"))).toBe("UTC−03:30");
  setZone("UTC");
  expect(offsetText(0)).toBe("UTC");
  expect(isZone("Mars/Olympus")).toBe(false);
  setZone("Mars/Olympus");
  expect(zoneName()).toBe(Intl.DateTimeFormat().resolvedOptions().timeZone);
});

test("what is no time is refused", () => {
  for (const text of ["", "2026-13-01T00:00", "2026-01-01", "2026-01-01T24:00", "yesterday"]) expect(parseInput(text), text).toBeNull();
});

test("times are shown in the zone", () => {
  setZone("Asia/Tokyo");
  const ns = at("2026-11-28T16:03:07.250Z") * 1e6;
  expect(clock(ns)).toBe("01:03:07");
  expect(clock(ns, 3)).toBe("01:03:07.250");
  expect(stamp(ns)).toBe("2026-11-29 01:03:07");
  expect(moment(ns, 60e9, ns / 1e6 + 60_000)).toBe("01:03:07");
  expect(moment(ns, 86_400e9, ns / 1e6)).toBe("2026-11-29 01:03:07");
  expect(moment(ns, 60e9, ns / 1e6 + 86_400_000)).toBe("2026-11-29 01:03:07");
  expect(axisTime(at("2026-11-28T15:00:00Z") * 1e6, 3600)).toBe("29 Nov");
  expect(axisTime(at("2026-11-28T16:00:00Z") * 1e6, 3600)).toBe("01:00");
  expect(axisTime(at("2026-11-28T16:00:05Z") * 1e6, 5)).toBe("01:00:05");
  expect(axisTime(at("2026-11-28T16:00:00Z") * 1e6, 86_400)).toBe("29 Nov");
});

test("a wall time far away has the offset of its day", () => {
  setZone("Europe/Berlin");
  expect(fromWall({ year: 2026, month: 7, day: 1, hour: 0, minute: 0, second: 0 })).toBe(at("2026-06-30T22:00:00Z"));
  expect(offsetAt(at("2026-06-30T22:00:00Z"))).toBe(2 * 3_600_000);
});
