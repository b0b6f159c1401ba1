// The difference of slow and fast calls, and the story of one.
import { describe, expect, test } from "vitest";
import type { Cause, DiffNode, Story, StoryEvent } from "../api";
import { kindOf, looks } from "./activity";
import { diffFlame, framesOf, pieces, tint, tintColour } from "./difference";
import { layout } from "./flame";
import { explain, keyOf, longestWaits, nextItem, panned, rulerTicks, shown, sums, timeline, zoomed } from "./story";

const node = (name: string, before: number, after: number, children: DiffNode[] = []): DiffNode =>
  ({ name, detail: "", before, after, children });
const tree = node("all", 10, 100, [
  node("handle", 10, 100, [
    node("reserve", 2, 80, [node("lock", 1, 79)]),
    node("checksum", 8, 20),
    node("lock", 0, 0),
  ]),
]);

describe("differential flame graph", () => {
  test("a frame is as wide as its parts are on the side that has more of them", () => {
    const root = diffFlame(node("all", 30, 30, [node("old", 20, 0), node("new", 10, 30)]));
    expect(root.value).toBe(50);
    expect(root.children.map((child) => child.value)).toEqual([20, 30]);
  });

  test("tints by the part of the extra time", () => {
    const root = diffFlame(tree);
    const handle = root.children[0];
    expect(tint(root, root)).toBe(1);
    expect(handle && tint(handle.children[0] as typeof root, root)).toBeCloseTo(78 / 90);
    expect(tint(diffFlame(node("less", 90, 0)), root)).toBe(-1);
    const hue = (text: string): number => Number(/hsl\((\d+)/.exec(text)?.[1]);
    expect(hue(tintColour(0.5, false))).toBeLessThan(20);
    expect(hue(tintColour(-0.5, true))).toBeGreaterThan(200);
    expect(tintColour(0, false)).toBe("hsl(212 0% 92%)");
  });

  test("a cause's frames are those with its name under its function, and what they called", () => {
    const { frames } = layout(diffFlame(tree));
    const cause = { function: "reserve", callee: "lock", caller: null } as Cause;
    const names = framesOf(frames, cause).map((hit, index) => (hit ? frames[index]?.node.name : null)).filter(Boolean);
    expect(names).toEqual(["lock"]);
    const running = { function: "reserve", callee: null, caller: "handle" } as Cause;
    expect(framesOf(frames, running).filter(Boolean)).toHaveLength(2);
    expect(framesOf(frames, { ...running, caller: "nobody" }).some(Boolean)).toBe(false);
  });

  test("a sentence without its share, code apart", () => {
    expect(pieces("79% of the extra time is waiting for a lock in `lock`, called from `reserve`")).toEqual([
      { text: "waiting for a lock in ", code: false }, { text: "lock", code: true },
      { text: ", called from ", code: false }, { text: "reserve", code: true },
    ]);
  });
});

const event = (part: Partial<StoryEvent>): StoryEvent => ({
  at_ns: 0, duration_ns: 0, weight_ns: 0, runnable_ns: 0, drawn: false, activity: "running", wait: null, reason: null, waker: null,
  place: "f", stack: 1, ...part,
});
const call = { function: 2, start_ns: 1_795_460_521_877_934_000, duration_ns: 1000, pid: 7, tid: 8, goid: null, cpu: 0, weight: 1, stack: 3 };
const story: Story = {
  call: { ...call, duration_ns: 980 }, function: "handle", span_ns: 1000,
  nested: [
    { call: { ...call, function: 1, duration_ns: 680 }, function: "reserve", from_ns: 100, span_ns: 700, depth: 1 },
    { call: { ...call, function: 0, duration_ns: 100 }, function: "inner", from_ns: 200, span_ns: 100, depth: 2 },
  ],
  events: [
    event({ at_ns: 50, weight_ns: 150, place: "checksum" }),
    event({ at_ns: 150, duration_ns: 500, weight_ns: 500, runnable_ns: 100, activity: "waiting", wait: "lock", waker: "inventory", place: "lock" }),
    event({ at_ns: 900, duration_ns: 60, weight_ns: 60, activity: "runnable", runnable_ns: 60 }),
  ],
  sampled_ns: 710, notes: [],
};

describe("story", () => {
  const { items, lanes, length } = timeline(story);

  test("calls lie by depth, samples below", () => {
    expect(length).toBe(1000);
    expect(lanes.map((lane) => lane.label)).toEqual(["Calls", "", "", "On CPU", "Off CPU"]);
    expect(items.map((item) => [item.label, item.lane, item.from, item.to])).toEqual([
      ["handle", 0, 0, 1000], ["reserve", 1, 100, 800], ["inner", 2, 200, 300],
      ["checksum", 3, 50, 50], ["lock", 4, 150, 650], ["f", 4, 900, 960],
    ]);
    expect(items[4]?.runnableFrom).toBe(550);
  });

  test("what stands for others adds up to no more than the call", () => {
    const short = event({ at_ns: 900, duration_ns: 50, weight_ns: 1960, runnable_ns: 25, drawn: true, activity: "waiting", wait: "io" });
    const item = timeline({ ...story, events: [short] }).items.at(-1)!;
    expect(item).toMatchObject({ from: 900, to: 950, runnableFrom: 925, kind: "io" });
    expect(explain(item, (kind) => looks[kind].phrase)).toBe("waiting for I/O from +900 ns, 50 ns, stands for others like it, then 25 ns for a CPU");
    expect(sums({ ...story, events: [short, event({ weight_ns: 150 })] })).toEqual([{ kind: "io", ns: 490 }, { kind: "runnable", ns: 490 }]);
  });

  test("time by what was done, and what is not known", () => {
    expect(sums(story)).toEqual([
      { kind: "on_cpu", ns: 150 }, { kind: "lock", ns: 400 }, { kind: "runnable", ns: 160 }, { kind: "unattributed", ns: 270 },
    ]);
  });

  test("the arrow keys walk lanes and times", () => {
    expect(nextItem(items, 0, "down")).toBe(1);
    expect(nextItem(items, 1, "down")).toBe(2);
    expect(nextItem(items, 2, "down")).toBe(3);
    expect(nextItem(items, 3, "down")).toBe(4);
    expect(nextItem(items, 4, "right")).toBe(5);
    expect(nextItem(items, 5, "right")).toBe(5);
    expect(nextItem(items, 5, "left")).toBe(4);
    expect(nextItem(items, 2, "up")).toBe(1);
    expect(nextItem(items, 0, "up")).toBe(0);
  });

  test("the longest waits come first", () => {
    expect(longestWaits(items, 5).map((item) => item.to - item.from)).toEqual([500, 60]);
    expect(longestWaits(items, 1)).toHaveLength(1);
  });

  test("zooms around a time and stays inside", () => {
    const all = { from: 0, to: 1e6 };
    expect(zoomed(all, 5e5, 0.5, 1e6)).toEqual({ from: 2.5e5, to: 7.5e5 });
    expect(zoomed(all, 1e6, 0.5, 1e6)).toEqual({ from: 5e5, to: 1e6 });
    expect(zoomed({ from: 0, to: 10 }, 0, 4, 20)).toEqual({ from: 0, to: 20 });
    expect(panned({ from: 0, to: 100 }, -1, 1000)).toEqual({ from: 0, to: 100 });
    expect(panned({ from: 850, to: 950 }, 1, 1000)).toEqual({ from: 900, to: 1000 });
    const item = { ...items[5]! };
    expect(shown({ from: 0, to: 100 }, item, 1000)).toEqual({ from: 880, to: 980 });
    expect(shown({ from: 0, to: 1000 }, item, 1000)).toEqual({ from: 0, to: 1000 });
  });

  test("the axis has round times", () => {
    expect(rulerTicks({ from: 0, to: 1000 }, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(rulerTicks({ from: 130, to: 170 }, 4)).toEqual([130, 140, 150, 160, 170]);
  });

  test("a nested call has a name with its exact start", () => {
    const nested = story.nested[0]!;
    expect(keyOf("2-7-1795460521877934135", nested)).toBe("1-7-1795460521877934235");
  });

  test("says what an item is", () => {
    const say = (index: number): string => explain(items[index]!, (kind) => looks[kind].phrase);
    expect(say(0)).toBe("1.00 µs from the start");
    expect(say(1)).toBe("680 ns from +100 ns");
    expect(say(3)).toBe("running at +50 ns; the sample stands for 150 ns");
    expect(say(4)).toBe("waiting for a lock from +150 ns, 500 ns, then 100 ns for a CPU; woken by inventory");
  });

  test("kinds follow the API, and unknown waits are others", () => {
    expect(kindOf("running", null)).toBe("on_cpu");
    expect(kindOf("waiting", "gc")).toBe("gc");
    expect(kindOf("waiting", "something new")).toBe("other");
    expect(kindOf("waiting", null)).toBe("other");
    expect(kindOf("runnable", null)).toBe("runnable");
  });
});
