// A call's story as bars on lanes. Times are ns since the call's start.
import type { NestedCall, Story, StoryEvent } from "../api";
import { kindOf, kinds, type Kind } from "./activity";
import { duration } from "./format";

export interface Item {
  /** Lanes from the top: calls by depth, then what ran, then what waited. */
  lane: number;
  from: number;
  to: number;
  kind: Kind | "call";
  label: string;
  /** Samples while it ran are points in time. */
  point: boolean;
  nested: NestedCall | null;
  event: StoryEvent | null;
  /** Where time waiting for a CPU begins. */
  runnableFrom: number;
}

export interface Lane {
  label: string;
}

export interface Timeline {
  items: Item[];
  lanes: Lane[];
  length: number;
}

/** The call, what was called inside, and its samples. */
export function timeline(story: Story): Timeline {
  const length = Math.max(story.span_ns, 1);
  const depth = story.nested.reduce((most, nested) => Math.max(most, nested.depth), 0);
  const lanes: Lane[] = Array.from({ length: depth + 1 }, (_, at) => ({ label: at === 0 ? "Calls" : "" }));
  const bar = (lane: number, from: number, to: number, label: string): Item => ({
    lane, from, to, kind: "call", label, point: false, nested: null, event: null, runnableFrom: to,
  });
  const items: Item[] = [bar(0, 0, length, story.function)];
  for (const nested of story.nested) {
    items.push({ ...bar(nested.depth, nested.from_ns, nested.from_ns + nested.span_ns, nested.function), nested });
  }
  const [running, waiting] = [depth + 1, depth + 2];
  lanes.push({ label: "On CPU" }, { label: "Off CPU" });
  for (const event of story.events) {
    const kind = kindOf(event.activity, event.wait);
    const point = kind === "on_cpu";
    const from = event.at_ns;
    const to = from + event.duration_ns;
    items.push({
      lane: point ? running : waiting, from, to, kind, label: event.place, point, nested: null, event,
      runnableFrom: Math.max(to - event.runnable_ns, from),
    });
  }
  return { items, lanes, length };
}

/** Summed time by what was done, most first; the rest of the call is unattributed. */
export function sums(story: Story): { kind: Kind; ns: number }[] {
  const by = new Map<Kind, number>();
  const add = (kind: Kind, ns: number): void => { if (ns > 0) by.set(kind, (by.get(kind) ?? 0) + ns); };
  for (const event of story.events) {
    const kind = kindOf(event.activity, event.wait);
    const waited = kind !== "on_cpu" && kind !== "runnable" && event.duration_ns > 0;
    const runnable = waited ? event.weight_ns * Math.min(event.runnable_ns / event.duration_ns, 1) : 0;
    add(kind, event.weight_ns - runnable);
    add("runnable", runnable);
  }
  // Samples stand for others: in one call they may add up to more than it took.
  const whole = story.call.duration_ns;
  const ran = by.get("on_cpu") ?? 0;
  const away = [...by.values()].reduce((sum, ns) => sum + ns, 0) - ran;
  if (away > whole) for (const [kind, ns] of by) if (kind !== "on_cpu") by.set(kind, ns * (whole / away));
  const left = Math.max(whole - away, 0);
  if (ran > left) by.set("on_cpu", left);
  add("unattributed", left - ran);
  return kinds.flatMap((kind) => {
    const ns = by.get(kind);
    return ns ? [{ kind, ns }] : [];
  });
}

/** The longest waits, longest first. */
export function longestWaits(items: readonly Item[], most: number): Item[] {
  return items.filter((item) => item.event && !item.point).sort((a, b) => b.to - b.from - (a.to - a.from)).slice(0, most);
}

export type Direction = "left" | "right" | "up" | "down";

/** The item that an arrow key leads to; the same when there is none. */
export function nextItem(items: readonly Item[], at: number, direction: Direction): number {
  const here = items[at];
  if (!here) return 0;
  const middle = (item: Item): number => (item.from + item.to) / 2;
  let best = at;
  let nearest = Infinity;
  items.forEach((item, index) => {
    if (index === at) return;
    let distance: number;
    if (direction === "left" || direction === "right") {
      if (item.lane !== here.lane) return;
      // Items may begin together: their order in the list tells them apart.
      const ahead = item.from - here.from || index - at;
      if (direction === "right" ? ahead <= 0 : ahead >= 0) return;
      distance = Math.abs(item.from - here.from) + Math.abs(index - at) * 1e-6;
    } else {
      const lanes = item.lane - here.lane;
      if (direction === "down" ? lanes <= 0 : lanes >= 0) return;
      const inside = item.from <= middle(here) && item.to >= middle(here);
      // The next lane that has anything, and there what is nearest in time.
      distance = Math.abs(lanes) * 1e15 + (inside ? 0 : Math.abs(middle(item) - middle(here)));
    }
    if (distance < nearest) {
      nearest = distance;
      best = index;
    }
  });
  return best;
}

/** A window of time, ns since the call's start. */
export interface Range {
  from: number;
  to: number;
}

/** Scales a window around a time, within the call. */
export function zoomed(range: Range, at: number, factor: number, length: number): Range {
  const wide = Math.min(Math.max((range.to - range.from) * factor, Math.min(1000, length)), length);
  const share = (at - range.from) / Math.max(range.to - range.from, 1);
  const from = Math.min(Math.max(at - share * wide, 0), length - wide);
  return { from, to: from + wide };
}

/** Moves a window by a share of its width. */
export function panned(range: Range, share: number, length: number): Range {
  const wide = range.to - range.from;
  const from = Math.min(Math.max(range.from + share * wide, 0), length - wide);
  return { from, to: from + wide };
}

/** A window that shows an item whole, with some air; the same if it is inside already. */
export function shown(range: Range, item: Item, length: number): Range {
  if (item.from >= range.from && item.to <= range.to) return range;
  const wide = Math.max(range.to - range.from, (item.to - item.from) * 1.1);
  const from = Math.min(Math.max((item.from + item.to) / 2 - wide / 2, 0), Math.max(length - wide, 0));
  return { from, to: Math.min(from + wide, length) };
}

/** Round times for the axis, at most `most`. */
export function rulerTicks(range: Range, most: number): number[] {
  const wide = range.to - range.from;
  const rough = wide / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough) ?? power * 10;
  const ticks: number[] = [];
  for (let at = Math.ceil(range.from / step) * step; at <= range.to; at += step) ticks.push(at);
  return ticks;
}

/** The name that `story` takes, of a call nested in the call named `key`. */
export function keyOf(key: string, nested: NestedCall): string {
  const start = BigInt(key.split("-")[2] ?? "0") + BigInt(nested.from_ns);
  return `${nested.call.function}-${nested.call.pid}-${start}`;
}

/** `waiting for a lock (sync.Mutex.Lock), 21.3 ms`, and who ended it. */
export function explain(item: Item, phrase: (kind: Kind) => string): string {
  const { event, nested } = item;
  const at = item.from === 0 ? "the start" : `+${duration(item.from)}`;
  if (!event || item.kind === "call") return `${duration(nested?.call.duration_ns ?? item.to - item.from)} from ${at}`;
  const reason = event.reason ? ` (${event.reason})` : "";
  if (item.point) return `${phrase(item.kind)} at ${at}; the sample stands for ${duration(event.weight_ns)}`;
  const known = event.duration_ns > 0 ? duration(event.duration_ns) : "less than 1 ms";
  const length = event.drawn ? `${known}, stands for others like it` : known;
  const runnable = event.runnable_ns > 0 && item.kind !== "runnable" ? `, then ${duration(event.runnable_ns)} for a CPU` : "";
  const waker = event.waker ? `; woken by ${event.waker}` : "";
  return `${phrase(item.kind)}${reason} from ${at}, ${length}${runnable}${waker}`;
}
