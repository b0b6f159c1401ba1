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
