// Which calls the flame graph, the lists and the differences are about: a part of the time, and of the
// durations. What is not limited is null.
import type { Bucket, Heatmap } from "../api";
import { clock, count, duration } from "./format";

export interface Selection {
  /** When the calls ended, Unix time in ms. */
  fromMs: number | null;
  toMs: number | null;
  /** At least this long, ns. */
  slowerNs: number | null;
  /** Shorter than this, ns. */
  fasterNs: number | null;
  /** At least this percentile of the durations in the time; excludes `slowerNs`. */
  percentile: number | null;
}

export const everything: Selection = { fromMs: null, toMs: null, slowerNs: null, fasterNs: null, percentile: null };

export function isEverything(selection: Selection): boolean {
  return !hasTime(selection) && !hasDurations(selection);
}

function hasTime({ fromMs, toMs }: Selection): boolean {
  return fromMs !== null || toMs !== null;
}

export function hasDurations({ slowerNs, fasterNs, percentile }: Selection): boolean {
  return slowerNs !== null || fasterNs !== null || percentile !== null;
}

/** The window of a view, narrowed to the time of the selection. */
export function timeParams(window: Record<string, string>, { fromMs, toMs }: Selection): Record<string, string> {
  if (fromMs === null && toMs === null) return window;
  const params: Record<string, string> = {};
  // As text: Unix time in ns is beyond what numbers hold exactly.
  if (fromMs !== null) params["from"] = `${fromMs}000000`;
  if (toMs !== null) params["to"] = `${toMs}000000`;
  return params;
}

/** The parameters of a question about the selected calls of one function. */
export function callParams(window: Record<string, string>, selection: Selection): Record<string, string> {
  const params: Record<string, string> = { ...timeParams(window, selection) };
  if (selection.percentile !== null) params["percentile"] = String(selection.percentile);
  else if (selection.slowerNs !== null) params["slower_than"] = String(selection.slowerNs);
  if (selection.fasterNs !== null) params["faster_than"] = String(selection.fasterNs);
  return params;
}

/** The parameters of a comparison: what is selected is slow. Durations without a lower end leave that to monigo. */
export function tailParams(window: Record<string, string>, selection: Selection): Record<string, string> {
  const { faster_than: _, ...params } = callParams(window, selection);
  return params;
}

/** The time to compare a selected time with. */
export type Against = "before" | "after";

/**
 * The parameters of a comparison of the selected time with the rest of the window before or after it; null without
 * a selected time.
 */
export function againstParams(window: Record<string, string>, selection: Selection, against: Against): Record<string, string> | null {
  const { from, to } = timeParams({}, selection);
  if (from === undefined || to === undefined) return null;
  const rest: Record<string, string> = against === "before" ? { against_to: from } : { against_from: to };
  if (against === "before" && window["from"] !== undefined && BigInt(window["from"]) < BigInt(from)) rest["against_from"] = window["from"];
  if (against === "after" && window["to"] !== undefined && BigInt(window["to"]) > BigInt(to)) rest["against_to"] = window["to"];
  return { from, to, ...rest };
}

/** Reads what a link says; what cannot be is as if absent. */
export function parseSelection(params: URLSearchParams): Selection {
  const whole = (name: string): number | null => {
    const text = params.get(name);
    return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
  };
  const selection: Selection = {
    fromMs: whole("from"), toMs: whole("to"), slowerNs: whole("slower"), fasterNs: whole("faster"), percentile: null,
  };
  const percentile = Number(params.get("percentile") ?? NaN);
  if (selection.slowerNs === null && percentile > 0 && percentile < 100) selection.percentile = percentile;
  if (selection.fromMs !== null && selection.toMs !== null && selection.fromMs >= selection.toMs) {
    selection.fromMs = selection.toMs = null;
  }
  if (selection.slowerNs !== null && selection.fasterNs !== null && selection.slowerNs >= selection.fasterNs) {
    selection.slowerNs = selection.fasterNs = null;
  }
  return selection;
}

export function formatSelection(params: URLSearchParams, selection: Selection): void {
  const { fromMs, toMs, slowerNs, fasterNs, percentile } = selection;
  for (const [name, value] of [
    ["from", fromMs], ["to", toMs], ["slower", slowerNs], ["faster", fasterNs], ["percentile", percentile],
  ] as const) {
    if (value !== null) params.set(name, String(value));
  }
}

/** `12.4 ms to 30.0 ms, 10:02:10 to 10:02:25`. */
export function describe(selection: Selection): string {
  const { fromMs, toMs, slowerNs, fasterNs, percentile } = selection;
  const parts: string[] = [];
  if (percentile !== null) parts.push(`slowest ${slowest(percentile)}`);
  if (slowerNs !== null && fasterNs !== null) parts.push(`${duration(slowerNs)} to ${duration(fasterNs)}`);
  else if (slowerNs !== null) parts.push(`${duration(slowerNs)} and longer`);
  else if (fasterNs !== null) parts.push(`below ${duration(fasterNs)}`);
  if (fromMs !== null && toMs !== null) parts.push(`${clock(fromMs * 1e6)} to ${clock(toMs * 1e6)}`);
  else if (fromMs !== null) parts.push(`from ${clock(fromMs * 1e6)}`);
  else if (toMs !== null) parts.push(`until ${clock(toMs * 1e6)}`);
  return parts.join(", ");
}

/** `1%` for the 99th percentile. */
export function slowest(percentile: number): string {
  return `${Number((100 - percentile).toPrecision(4))}%`;
}

/** Calls in the buckets that the selection covers, and the duration where its percentile is. */
export function countSelected(buckets: readonly Bucket[], selection: Selection): { calls: number; lowNs: number } {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  let lowNs = selection.slowerNs ?? 0;
  if (selection.percentile !== null && total > 0) {
    // As `Histogram::slower_than` in monigo.
    const rank = Math.min(Math.floor((selection.percentile / 100) * total * (1 + 1e-12)) + 1, total);
    let seen = 0;
    lowNs = buckets.find((bucket) => (seen += bucket.count) >= rank)?.low_ns ?? 0;
  }
  const high = selection.fasterNs ?? Infinity;
  const calls = buckets.reduce((sum, bucket) => (
    // A bucket belongs to where its middle is.
    (bucket.low_ns + bucket.high_ns) / 2 >= lowNs && (bucket.low_ns + bucket.high_ns) / 2 < high ? sum + bucket.count : sum
  ), 0);
  return { calls, lowNs };
}

export function callsText(calls: number): string {
  return `${count(calls)} ${calls === 1 ? "call" : "calls"}`;
}

/** A cell of a heatmap. */
export interface Cell {
  column: number;
  row: number;
}

/** Corners of a rectangle of cells, both inside. */
export interface Area {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

export function areaOf(a: Cell, b: Cell): Area {
  return {
    left: Math.min(a.column, b.column), right: Math.max(a.column, b.column),
    bottom: Math.min(a.row, b.row), top: Math.max(a.row, b.row),
  };
}

/** Calls in an area of the heatmap. */
export function callsIn({ counts }: Heatmap, area: Area): number {
  let sum = 0;
  for (let column = area.left; column <= area.right; column += 1) {
    for (let row = area.bottom; row <= area.top; row += 1) sum += counts[column]?.[row] ?? 0;
  }
  return sum;
}

/**
 * What an area of the heatmap selects. Its whole height selects no durations, and the top row what is
 * longer, too. Calls belong to the flush that they ended in: the edges are 1 ms late at most, so that the flush that
 * ends where a column begins is outside.
 */
export function selectionOf(data: Heatmap, area: Area): Selection {
  const { times_ns: times, rows_ns: rows } = data;
  const late = (ns: number): number => Math.floor(ns / 1e6) + 1;
  const begin = times[area.left] ?? 0;
  const end = times[area.right + 1] ?? (times[area.right] ?? 0) + data.step_ns;
  return {
    ...everything,
    fromMs: late(begin),
    toMs: late(end),
    slowerNs: area.bottom === 0 ? null : rows[area.bottom] ?? null,
    fasterNs: area.top >= rows.length - 1 ? null : rows[area.top + 1] ?? null,
  };
}

/** Where a selection lies in a heatmap, in columns from the left and rows from the bottom; null outside. */
export function placeOf(data: Heatmap, selection: Selection): { x: [number, number]; y: [number, number] } | null {
  const { times_ns: times, rows_ns: rows } = data;
  const [first, columns] = [times[0], times.length];
  if (first === undefined || rows.length === 0 || !(hasTime(selection) || selection.slowerNs !== null || selection.fasterNs !== null)) return null;
  const x = (ms: number | null, open: number): number => {
    if (ms === null) return open;
    const ns = (ms - 1) * 1e6;
    const at = times.findLastIndex((time) => time <= ns + 1e6);
    const from = times[at];
    if (from === undefined) return 0;
    const to = times[at + 1] ?? from + data.step_ns;
    return Math.min(at + Math.max(ns - from, 0) / Math.max(to - from, 1), columns);
  };
  const y = (ns: number | null, open: number): number => {
    if (ns === null) return open;
    const at = rows.findLastIndex((low) => low <= ns);
    const low = rows[at];
    if (low === undefined) return 0;
    return Math.min(at + (ns - low) / Math.max((rows[at + 1] ?? data.top_ns) - low, 1), rows.length);
  };
  const place = {
    x: [x(selection.fromMs, 0), x(selection.toMs, columns)] as [number, number],
    y: [y(selection.slowerNs, 0), y(selection.fasterNs, rows.length)] as [number, number],
  };
  return place.x[0] < place.x[1] && place.y[0] < place.y[1] ? place : null;
}
