import { describe, expect, test } from "vitest";
import type { FlameNode } from "../api";
import { ancestors, find, hash, kindOf, layout, moduleOf, pathOf, search, step } from "./flame";

const node = (name: string, value: number, children: FlameNode[] = [], detail = "/bin/x x.c:1"): FlameNode =>
  ({ name, detail, value, children });

// all 100: main 80 (work 50 (lock 20), idle 20), other 20 (lock 20)
const tree = node("all", 100, [
  node("main", 80, [node("work", 50, [node("lock", 20, [], "[kernel]")]), node("idle", 20)]),
  node("other", 20, [node("lock", 20, [], "[kernel]")]),
], "");
const { frames, depth, total } = layout(tree);
const at = (name: string, nth = 0): number =>
  frames.map((frame, index) => [frame.node.name, index] as const).filter(([each]) => each === name)[nth]?.[1] ?? -1;

describe("layout", () => {
  test("gives each frame its share, children inside their caller", () => {
    expect(depth).toBe(4);
    expect(total).toBe(100);
    for (const frame of frames) {
      expect(frame.end - frame.start).toBeCloseTo(frame.node.value / 100);
      const caller = frames[frame.parent];
      if (caller) {
        expect(frame.start).toBeGreaterThanOrEqual(caller.start - 1e-9);
        expect(frame.end).toBeLessThanOrEqual(caller.end + 1e-9);
        expect(frame.depth).toBe(caller.depth + 1);
      }
    }
    expect(frames[at("main")]?.self).toBe(10);
    expect(frames[at("lock")]?.self).toBe(20);
  });

  test("keeps siblings in order of name, so that a live graph stays put", () => {
    const turned = layout(node("all", 100, [...tree.children].reverse(), ""));
    expect(turned.frames.map((frame) => frame.node.name)).toEqual(frames.map((frame) => frame.node.name));
    expect(frames[at("idle")]?.start).toBeLessThan(frames[at("work")]?.start ?? 0);
  });

  test("leaves out what is too narrow, and survives deep recursion", () => {
    expect(layout(tree, 0.3).frames.map((frame) => frame.node.name)).toEqual(["all", "main", "work"]);
    let deep = node("f", 1);
    for (let level = 0; level < 20_000; level += 1) deep = node("f", 1, [deep]);
    expect(layout(deep).depth).toBe(20_001);
    expect(layout(node("all", 0)).frames).toEqual([]);
  });
});

test("a path survives a refresh, or falls back to the nearest caller", () => {
  expect(pathOf(frames, at("lock"))).toEqual(["all", "main", "work", "lock"]);
  for (let index = 0; index < frames.length; index += 1) expect(find(frames, pathOf(frames, index))).toBe(index);
  expect(find(frames, ["all", "main", "gone", "lock"])).toBe(at("main"));
  expect(find(frames, [])).toBe(0);
});

test("a search counts nested matches once", () => {
  expect(search(frames, "LOCK")).toMatchObject({ count: 2 });
  expect(search(frames, "lock").share).toBeCloseTo(0.4);
  expect(search(frames, "kernel").share).toBeCloseTo(0.4);
  const nested = search(frames, "o");
  expect(nested.count).toBe(4);
  expect(nested.share).toBeCloseTo(0.7);
  expect(search(frames, "  ")).toMatchObject({ count: 0, share: 0 });
  expect(search(frames, "all").count).toBe(0);
});

test("steps lead to callers, widest callees and neighbours", () => {
  expect(step(frames, 0, "callee")).toBe(at("main"));
  expect(step(frames, at("main"), "callee")).toBe(at("work"));
  expect(step(frames, at("lock"), "callee")).toBe(at("lock"));
  expect(step(frames, at("work"), "caller")).toBe(at("main"));
  expect(step(frames, 0, "caller")).toBe(0);
  expect(step(frames, at("work"), "left")).toBe(at("idle"));
  expect(step(frames, at("work"), "right")).toBe(at("lock", 1));
  expect(step(frames, at("idle"), "left")).toBe(at("idle"));
});

test("what colours are made of", () => {
  expect([...ancestors(frames, at("work"))].sort()).toEqual([0, at("main"), at("work")].sort());
  expect(frames.map(kindOf)).toContain("kernel");
  expect(moduleOf("main.(*Service).Handle")).toBe("main");
  expect(moduleOf("core::iter::Map<a::B>::next")).toBe("core::iter");
  expect(moduleOf("memcpy")).toBe("memcpy");
  expect(hash("a")).toBe(hash("a"));
  expect(hash("a")).not.toBe(hash("b"));
  expect(hash("x")).toBeLessThan(1);
});
