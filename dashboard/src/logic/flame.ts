// Layout, zoom, search and movement in a flame graph. Positions are shares of the whole, 0 to 1.
import type { FlameNode } from "../api";

export interface FlameFrame {
  node: FlameNode;
  /** Index of the caller's frame; -1 at the root. */
  parent: number;
  depth: number;
  start: number;
  end: number;
  /** Weight that no child has. */
  self: number;
}

export interface FlameLayout {
  frames: FlameFrame[];
  depth: number;
  total: number;
}

/**
 * Lays out a tree. Siblings are in order of name, not of weight, so that a live graph keeps its
 * shape from one refresh to the next. Frames narrower than `narrowest` are left out.
 */
export function layout(root: FlameNode, narrowest = 0): FlameLayout {
  const frames: FlameFrame[] = [];
  let depth = 0;
  const total = root.value;
  // A stack of its own: a deep recursion in the target must not be one here.
  const todo: { node: FlameNode; parent: number; depth: number; start: number }[] = [
    { node: root, parent: -1, depth: 0, start: 0 },
  ];
  for (let next = todo.pop(); next && total > 0; next = todo.pop()) {
    const { node, parent, start } = next;
    const width = node.value / total;
    if (width < narrowest) continue;
    const index = frames.length;
    let inside = 0;
    let childStart = start;
    const children = [...node.children].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const placed = children.map((child) => {
      const place = { node: child, parent: index, depth: next.depth + 1, start: childStart };
      childStart += child.value / total;
      inside += child.value;
      return place;
    });
    frames.push({ node, parent, depth: next.depth, start, end: start + width, self: Math.max(node.value - inside, 0) });
    depth = Math.max(depth, next.depth + 1);
    todo.push(...placed.reverse());
  }
  return { frames, depth, total };
}

/** Names from the root to a frame: what survives a refresh. */
export function pathOf(frames: readonly FlameFrame[], index: number): string[] {
  const path: string[] = [];
  for (let at = index; at >= 0; at = frames[at]?.parent ?? -1) {
    path.unshift(frames[at]?.node.name ?? "");
  }
  return path;
}

/** The frame that a path names, or its nearest ancestor that still exists. */
export function find(frames: readonly FlameFrame[], path: readonly string[]): number {
  let at = 0;
  for (const name of path.slice(1)) {
    const child = frames.findIndex((frame) => frame.parent === at && frame.node.name === name);
    if (child < 0) break;
    at = child;
  }
  return at;
}

export interface Matches {
  /** Per frame. */
  hit: boolean[];
  /** Share of the whole below or at a match, each part counted once. */
  share: number;
  count: number;
}

/** Frames whose name or detail contains `text`, in any case. Empty text matches nothing. */
export function search(frames: readonly FlameFrame[], text: string): Matches {
  const wanted = text.trim().toLowerCase();
  const hit: boolean[] = [];
  const covered: boolean[] = [];
  let share = 0;
  let count = 0;
  frames.forEach((frame, index) => {
    const matches = wanted !== "" && frame.parent >= 0
      && `${frame.node.name} ${frame.node.detail}`.toLowerCase().includes(wanted);
    const above = covered[frame.parent] ?? false;
    hit[index] = matches;
    covered[index] = above || matches;
    if (matches) {
      count += 1;
      if (!above) share += frame.end - frame.start;
    }
  });
  return { hit, share, count };
}

export type Move = "caller" | "callee" | "left" | "right";

/** Where a step from a frame leads; the frame itself when there is nothing. */
export function step(frames: readonly FlameFrame[], index: number, move: Move): number {
  const frame = frames[index];
  if (!frame) return 0;
  if (move === "caller") return Math.max(frame.parent, 0);
  if (move === "callee") {
    let widest = index;
    let width = 0;
    frames.forEach((child, at) => {
      if (child.parent === index && child.end - child.start > width) {
        widest = at;
        width = child.end - child.start;
      }
    });
    return widest;
  }
  // Neighbours at the same depth, whoever called them.
  let best = index;
  frames.forEach((other, at) => {
    if (other.depth !== frame.depth || at === index) return;
    const beyond = move === "right" ? other.start > frame.start : other.start < frame.start;
    const nearer = best === index
      || Math.abs(other.start - frame.start) < Math.abs((frames[best]?.start ?? 0) - frame.start);
    if (beyond && nearer) best = at;
  });
  return best;
}

/** Frames from the root down to `index`. */
export function ancestors(frames: readonly FlameFrame[], index: number): Set<number> {
  const set = new Set<number>();
  for (let at = index; at >= 0; at = frames[at]?.parent ?? -1) set.add(at);
  return set;
}

export type Kind = "root" | "kernel" | "code";

/** What a frame is, for its colour. */
export function kindOf(frame: FlameFrame): Kind {
  if (frame.parent < 0) return "root";
  return frame.node.detail.startsWith("[kernel]") ? "kernel" : "code";
}

/** The package or namespace of a function name, so that related frames share a colour. */
export function moduleOf(name: string): string {
  const plain = name.replace(/<.*/, "").replace(/\(.*/, "");
  const cut = Math.max(plain.lastIndexOf("::"), plain.lastIndexOf("."));
  return cut > 0 ? plain.slice(0, cut) : plain;
}

/** A number from 0 to 1 that is the same for the same text (FNV-1a). */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  return (value >>> 8) / 0x1000000;
}
