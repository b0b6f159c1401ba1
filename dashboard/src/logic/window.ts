// The time window of a view, as parameters of the API.
import type { Span } from "./route";

/** 1 ms: keeps a flush at the very edge on the right side, although numbers here round to 256 ns. */
const EDGE_NS = 1_000_000;

/**
 * Parameters `from` and `to` for the last `span` before `anchorNs`, the time of a flush. A live
 * view leaves the end open; a frozen one ends at the anchor.
 */
export function windowParams(span: Span, anchorNs: number | null, frozen: boolean): Record<string, string> {
  if (anchorNs === null) return {};
  const params: Record<string, string> = {};
  if (span !== "all") params["from"] = String(anchorNs - span * 1e9 + EDGE_NS);
  if (frozen) params["to"] = String(anchorNs + EDGE_NS);
  return params;
}

/** Length in ns of what a window shows. */
export function windowLength(span: Span, startedNs: number, anchorNs: number | null): number {
  const whole = Math.max((anchorNs ?? startedNs) - startedNs, 0);
  return span === "all" ? whole : Math.min(span * 1e9, whole);
}

/** How many steps to ask for: whole flushes each, so that no step is a flush richer than its neighbour. */
export function steps(lengthNs: number, flushNs: number, most: number): number {
  const flushes = Math.max(Math.round(lengthNs / Math.max(flushNs, 1)), 1);
  const each = Math.ceil(flushes / most);
  return Math.max(Math.ceil(flushes / each), 1);
}
