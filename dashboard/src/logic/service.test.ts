import { describe, expect, test } from "vitest";
import type { RoutineGroup, Routines, Sample } from "../service";
import { bytes, cores, percentage } from "./format";
import { joined, pieces } from "./chunks";
import { arc, parts, toneOf } from "./health";
import { chosenSeries, functionsOf, lineLabel, ofFunction } from "./latency";
import { operations } from "./openapi";
import { frameParts, ordered, states, telling, text, wanted } from "./routines";
import { fileName } from "./save";
import { byUnit, columnsOf, csv, label, namesOf, shown, stepOf, tick, unitOf } from "./series";
import { filteredSections, sections } from "./settings";
import { standing } from "./standing";

const at = (seconds: number, value: Record<string, number>): Sample => ({ time: new Date(seconds * 1000).toISOString(), value });

describe("series", () => {
  test("units by name", () => {
    const units = {
      overall_load_of_service: "percent", system_disk_load: "percent", service_health_percent: "percent", total_cores: "cores",
      cores_used_by_service: "cores", memory_used_by_service: "bytes", heap_alloc_by_system: "bytes", total_memory_by_os: "bytes",
      gc_pause_duration: "ns", bytes_sent: "bytes", bytes_sent_per_second: "bytes/s", disk_written_bytes: "bytes",
      system_disk_read_bytes_per_second: "bytes/s", goroutines: "count", open_files: "count", "main.f p99_ns": "ns",
      "bytes.Index calls_per_second": "per_second", "memory_load.f mean_ns": "ns",
    };
    for (const [name, unit] of Object.entries(units)) expect(unitOf(name), name).toBe(unit);
  });

  test("columns leave holes where steps are missing", () => {
    const samples = [at(0, { a: 1 }), at(10, { a: 2, b: 5 }), at(20, { b: 6 }), at(60, { a: 3 })];
    expect(stepOf(samples)).toBe(10);
    expect(namesOf(samples)).toEqual(["a", "b"]);
    expect(columnsOf(samples, ["a", "b"])).toEqual([
      [0, 10, 20, 30, 60], [1, 2, null, null, 3], [null, 5, 6, null, null],
    ]);
    expect(columnsOf([], ["a"])).toEqual([[], []]);
    expect(columnsOf([at(5, { a: 1 })], ["a"])).toEqual([[5], [1]]);
  });

  test("are grouped by unit", () => {
    expect(byUnit(["total_cores", "bytes_sent", "cores_used_by_system"])).toEqual([
      ["cores", ["total_cores", "cores_used_by_system"]], ["bytes", ["bytes_sent"]],
    ]);
  });

  test("CSV keeps values as they came and escapes names", () => {
    const samples = [at(0, { "f(a, b)": 0.1 + 0.2, '=x"': 2 }), at(1, { "f(a, b)": 1e21 })];
    expect(csv(samples, namesOf(samples))).toBe(
      'time,"f(a, b)","\'=x"""\r\n1970-01-01T00:00:00.000Z,0.30000000000000004,2\r\n1970-01-01T00:00:01.000Z,1e+21,\r\n',
    );
    expect(csv([at(0, { a: -1.5 })], ["a"])).toContain(",-1.5\r\n");
  });

  test("look like what they are in", () => {
    expect(shown(42.46, "percent")).toBe("42.5%");
    expect(shown(1536, "bytes/s")).toBe("1.50 KiB/s");
    expect(shown(12.4, "count")).toBe("12.4");
    expect(shown(1234.5, "count")).toBe("1,235");
    expect(tick(1024 ** 2, "bytes")).toBe("1 MiB");
    expect(tick(1.5 * 1024 ** 3, "bytes")).toBe("1.5 GiB");
    expect(tick(0, "bytes/s")).toBe("0");
    expect(tick(100 * 1024, "bytes")).toBe("100 KiB");
    expect(label("service_cpu_load")).toBe("service CPU load");
    expect(label("parse_cpu_line p99_ns")).toBe("parse_cpu_line p99");
  });
});

test.each([
  [0, "0 B"], [1023, "1023 B"], [1024, "1.00 KiB"], [1023.6 * 1024, "1.00 MiB"], [999 * 1024, "999 KiB"], [2.684 * 1024 ** 2, "2.68 MiB"],
  [-2048, "−2.00 KiB"], [0.5, "0.5 B"], [3 * 1024 ** 6, "3072 PiB"],
])("%d bytes are %s", (value, text) => { expect(bytes(value)).toBe(text); });

test("CPUs and percentages", () => {
  expect([0, 0.0004, 0.0421, 1.254, 12.34].map(cores)).toEqual(["0", "<0.001", "0.042", "1.25", "12.3"]);
  expect([0, 0.04, 42.46, 100].map(percentage)).toEqual(["0%", "<0.1%", "42.5%", "100%"]);
});

describe("latency of functions", () => {
  const names = ["a b calls_per_second", "a b p99_ns", "main.run mean_ns", "main.run p99_ns", "x p99_ns"];

  test("is of a function and a figure", () => {
    expect(ofFunction("operator new(unsigned long) p50_ns")).toEqual({ name: "operator new(unsigned long)", figure: "p50" });
    expect(ofFunction("a b calls_per_second")).toEqual({ name: "a b", figure: "calls" });
    expect(ofFunction("service_cpu_load")).toBeNull();
    expect(functionsOf(names)).toEqual(["a b", "main.run", "x"]);
  });

  test("is drawn of one function, or one figure of the functions that matter most", () => {
    expect(chosenSeries(names, "main.run", [], 1)).toEqual(["main.run mean_ns", "main.run p99_ns"]);
    expect(chosenSeries(names, "p99", ["x", "main.run"], 2)).toEqual(["x p99_ns", "main.run p99_ns"]);
    expect(chosenSeries(names, "p50", [], 2)).toEqual([]);
    expect([lineLabel("main.run p99_ns", "p99"), lineLabel("main.run p99_ns", "main.run")]).toEqual(["main.run", "p99"]);
  });
});

describe("long files", () => {
  test("are fetched in pieces of so many flushes, and not in too many", () => {
    expect(pieces(0, 1_000_000, 1000)).toEqual([{ fromMs: 0, toMs: 1_000_000 }]);
    expect(pieces(0, 4_000_001, 1000).length).toBe(3);
    expect(pieces(0, 604_800_000, 1000).length).toBe(50);
    const all = pieces(5, 12_345_678, 1000);
    expect([all[0]?.fromMs, all.at(-1)?.toMs]).toEqual([5, 12_345_678]);
    all.slice(1).forEach((piece, index) => { expect(piece.fromMs).toBe(all[index]?.toMs); });
  });

  test("hold each step once", () => {
    expect(joined([[at(1, {}), at(2, {})], [at(2, {}), at(3, {})], []]).map(({ time }) => Date.parse(time))).toEqual([1000, 2000, 3000]);
  });
});

const group = (change: Partial<RoutineGroup>): RoutineGroup => ({
  signature: "0", state: "waiting", wait_reason: "chan receive", count: 1, blocked_minutes: null, growth: 0, stale: false, growing: false,
  call_stack: ["runtime.gopark", "main.worker /src/main.go:12"], created_by: "main.main /src/main.go:5", ids: [7], names: [], ...change,
});

describe("routines", () => {
  const groups = [
    group({ signature: "a", count: 5, blocked_minutes: 12, stale: true }),
    group({ signature: "b", count: 9, state: "running", wait_reason: "", call_stack: ["main.spin"], growth: 4, growing: true, ids: [41, 42] }),
    group({ signature: "c", count: 5, growth: -1 }),
  ];
  const names = (list: RoutineGroup[]): string => list.map(({ signature }) => signature).join("");

  test("sums by state", () => {
    expect(states(groups)).toEqual([{ state: "waiting", count: 10 }, { state: "running", count: 9 }]);
  });

  test("are found by state, mark and every word", () => {
    const all = { state: null, mark: null, filter: "" } as const;
    expect(names(wanted(groups, all))).toBe("abc");
    expect(names(wanted(groups, { ...all, state: "running" }))).toBe("b");
    expect(names(wanted(groups, { ...all, mark: "stale" }))).toBe("a");
    expect(names(wanted(groups, { ...all, mark: "growing", state: "waiting" }))).toBe("");
    expect(names(wanted(groups, { ...all, filter: "MAIN.go chan" }))).toBe("ac");
    expect(names(wanted(groups, { ...all, filter: "42" }))).toBe("b");
  });

  test("are in a steady order", () => {
    expect(names(ordered(groups, "count"))).toBe("bac");
    expect(names(ordered(groups, "blocked"))).toBe("abc");
    expect(names(ordered(groups, "growth"))).toBe("bac");
    expect(names(groups)).toBe("abc");
  });

  test("are named by what is not of the runtime", () => {
    expect(telling(["runtime.gopark", "sync.(*Mutex).Lock", "main.run"])).toBe("main.run");
    expect(telling(["runtime.gopark"])).toBe("runtime.gopark");
    expect(telling([])).toBe("no stack");
    expect(frameParts("main.(*T).run /a/b.go:12")).toEqual({ name: "main.(*T).run", place: "/a/b.go:12" });
    expect(frameParts("main.run")).toEqual({ name: "main.run", place: "" });
    expect(frameParts("f (lib.c:3)")).toEqual({ name: "f", place: "lib.c:3" });
    expect(frameParts("ns::f(int, char) (/src/lib.cpp)")).toEqual({ name: "ns::f(int, char)", place: "/src/lib.cpp" });
    expect(frameParts("f(int, a)")).toEqual({ name: "f(int, a)", place: "" });
    expect(frameParts("[unknown] 0x7f12")).toEqual({ name: "[unknown] 0x7f12", place: "" });
  });

  test("as text hold everything", () => {
    const all: Routines = { kind: "goroutines", time: "2026-11-28T13:00:00Z", number_of_goroutines: 19, remarks: ["2 could not be read"], groups };
    const lines = text(all).split("\n");
    expect(lines[0]).toBe("19 goroutines at 2026-11-28T13:00:00Z");
    expect(lines[1]).toBe("# 2 could not be read");
    expect(lines).toContain("5 × [waiting, chan receive, 12 minutes, stale] a");
    expect(lines).toContain("    main.worker /src/main.go:12");
    expect(lines).toContain("    ids 41 42 …");
  });
});

describe("settings", () => {
  const leaf = (value: unknown, source: string): unknown => ({ value, source });
  const tree = {
    port: leaf(8080, "default"),
    storage: { retention: leaf("7d", "file"), size: leaf(null, "default"), nested: { on: leaf(true, "flag") } },
    agent: { targets: [{ name: leaf("a", "file") }, { name: leaf("b", "file") }] },
    empty: {},
  };

  test("are sections of lines with their source", () => {
    expect(sections(tree)).toEqual([
      { name: "", settings: [{ name: "port", value: "8080", source: "default" }] },
      {
        name: "storage",
        settings: [
          { name: "retention", value: "7d", source: "file" },
          { name: "size", value: "–", source: "default" },
          { name: "nested.on", value: "yes", source: "flag" },
        ],
      },
      { name: "agent", settings: [{ name: "targets.1.name", value: "a", source: "file" }, { name: "targets.2.name", value: "b", source: "file" }] },
    ]);
    for (const nothing of [null, undefined, [], 3, "x", {}]) expect(sections(nothing)).toEqual([]);
  });

  test("can be narrowed", () => {
    const all = sections(tree);
    const names = (filter: string, changed: boolean): string[] => filteredSections(all, filter, changed).flatMap((each) => each.settings.map((line) => line.name));
    expect(names("storage 7d", false)).toEqual(["retention"]);
    expect(names("", true)).toEqual(["retention", "nested.on", "targets.1.name", "targets.2.name"]);
    expect(names("nothing", false)).toEqual([]);
  });

  test("lists and texts", () => {
    const [only] = sections({ list: leaf(["a", "b"], "file"), none: leaf([], "default"), plain: 5 });
    expect(only?.settings.map(({ value, source }) => [value, source])).toEqual([["a, b", "file"], ["none", "default"], ["5", ""]]);
  });
});

describe("health", () => {
  const health = (percent: number, healthy: boolean) => ({ percent, healthy, message: "", icon_msg: "", breaches: [] });

  test("a breach is bad whatever the score", () => {
    expect(toneOf(health(95, true))).toBe("good");
    expect(toneOf(health(60, true))).toBe("fair");
    expect(toneOf(health(95, false))).toBe("bad");
  });

  test("arcs run three quarters round", () => {
    expect(arc(0)).toBe("");
    expect(arc(Number.NaN)).toBe("");
    expect(arc(1)).toMatch(/^M 18\.89 81\.11 A 44 44 0 1 1 81\.11 81\.11$/);
    expect(arc(0.5)).toMatch(/ 0 0 1 50\.00 6\.00$/);
    expect(arc(7)).toBe(arc(1));
  });

  test("messages are a verdict and figures", () => {
    expect(parts("Service usage is within limits: CPU Usage 5% / 95%, Memory 2% / 95%")).toEqual({
      verdict: "Service usage is within limits", figures: ["CPU Usage 5% / 95%", "Memory 2% / 95%"],
    });
    expect(parts("fine")).toEqual({ verdict: "fine", figures: [] });
  });
});

test("where the view stands", () => {
  const live = { ended: false, paused: false, connection: "open", ageMs: 900, flushMs: 1000 } as const;
  expect(standing(live)).toBe("live");
  expect(standing({ ...live, ageMs: null })).toBe("live");
  expect(standing({ ...live, ageMs: 15_001 })).toBe("stale");
  expect(standing({ ...live, ageMs: 60_000, flushMs: 30_000 })).toBe("live");
  expect(standing({ ...live, connection: "lost", ageMs: 60_000 })).toBe("lost");
  expect(standing({ ...live, paused: true, connection: "lost" })).toBe("paused");
  expect(standing({ ...live, ended: true, paused: true })).toBe("ended");
});

test("an OpenAPI description lists its operations", () => {
  expect(operations({ paths: {
    "/a": { get: { summary: "First" }, post: { description: "Second\nmore" }, parameters: [] },
    "/b": { delete: {} }, "/c": null,
  } })).toEqual([
    { method: "GET", path: "/a", summary: "First" }, { method: "POST", path: "/a", summary: "Second" }, { method: "DELETE", path: "/b", summary: "" },
  ]);
  for (const nothing of [null, [], "x", {}, { paths: 3 }]) expect(operations(nothing)).toEqual([]);
});

test("file names hold nothing odd", () => {
  expect(fileName(["my service/1", "LoadStatistics", "2026-11-28T14:03:07"], "csv")).toBe("my-service-1-LoadStatistics-2026-11-28T14-03-07.csv");
  expect(fileName(["../..", ""], "txt")).toBe("monigo.txt");
});
