// The difference between slow and fast calls: its flame graph, and causes as text.
import type { Cause, DiffNode, FlameNode } from "../api";
import type { FlameFrame } from "./flame";

/** A node of a differential flame graph. */
export interface DiffFlame extends FlameNode {
  before: number;
  after: number;
  children: DiffFlame[];
}

/** As a flame graph in which each own part is as wide as the side that has more of it (as export/difference.rs). */
export function diffFlame(node: DiffNode): DiffFlame {
  const children = node.children.map(diffFlame);
  const own = (side: "before" | "after"): number =>
    Math.max(node[side] - node.children.reduce((sum, child) => sum + child[side], 0), 0);
  const value = Math.max(own("before"), own("after")) + children.reduce((sum, child) => sum + child.value, 0);
  return { name: node.name, detail: node.detail, before: node.before, after: node.after, value, children };
}

/** Change of a frame as a part of the whole change, -1 to 1. */
export function tint(node: DiffFlame, root: DiffFlame): number {
  // A change of little must not look like a large one.
  const most = Math.max(Math.abs(root.after - root.before), Math.max(root.after, root.before) / 4, 1);
  return Math.min(Math.max((node.after - node.before) / most, -1), 1);
}

/** Red for more, blue for less, stronger the larger the change. */
export function tintColour(value: number, dark: boolean): string {
  // Small changes must show, too.
  const strength = Math.abs(value) < 0.002 ? 0 : 0.2 + 0.8 * Math.sqrt(Math.abs(value));
  const hue = value > 0 ? 6 : 212;
  const saturation = strength === 0 ? 0 : (dark ? 24 : 40) + strength * (dark ? 36 : 46);
  const light = dark ? 27 + strength * 15 : 92 - strength * 25;
  return `hsl(${hue} ${saturation.toFixed(0)}% ${light.toFixed(0)}%)`;
}

/** Frames in which the time of a cause is spent, with what they called. */
export function framesOf(frames: readonly FlameFrame[], cause: Cause): boolean[] {
  const name = cause.callee ?? cause.function;
  const hit: boolean[] = [];
  // Callers come before what they called.
  frames.forEach((frame, index) => {
    hit[index] = (hit[frame.parent] ?? false) || (frame.node.name === name && within(frames, frame, cause));
  });
  return hit;
}

function within(frames: readonly FlameFrame[], frame: FlameFrame, cause: Cause): boolean {
  const above = cause.callee === null ? cause.caller : cause.function;
  if (above === null) return true;
  for (let at = frame.parent; at >= 0; at = frames[at]?.parent ?? -1) {
    if (frames[at]?.node.name === above) return true;
  }
  return false;
}

export interface Piece {
  text: string;
  code: boolean;
}

/** A sentence with its `code` apart, and without the share that is shown beside it. */
export function pieces(sentence: string): Piece[] {
  const plain = sentence.replace(/^\d+% of the extra time is /, "");
  return plain.split("`").map((text, index) => ({ text, code: index % 2 === 1 })).filter((piece) => piece.text !== "");
}
