// The figures of a function as shown; the same rules as the command line (export/figures.rs): what is
// not known is a dash, and what is uncertain is marked.
import type { FunctionRow } from "../api";
import { estimate, measured, percent, rate, shortCount, shortEstimate, summed } from "./format";

const UNKNOWN = "–";

/** A duration of a single call, or one that stands for single calls: a percentile, the mean. */
export function shownNs(row: FunctionRow, ns: number): string {
  // Percentiles are zero where there was no room for a histogram.
  return row.timed === 0 || ns < row.latency_ns.min ? UNKNOWN : measured(ns, row.probe.floor_ns);
}

/** Summed duration of the calls. */
export function shownTotal(row: FunctionRow): string {
  return shownSum(row, row.latency_ns.total);
}

/** Summed duration without time in other traced functions. */
export function shownSelf(row: FunctionRow): string {
  return row.self_ns === null ? UNKNOWN : shownSum(row, row.self_ns);
}

export function shownCalls(row: FunctionRow): string {
  return estimate(row.calls, row.calls_error);
}

export function shownCallsShort(row: FunctionRow): string {
  return shortEstimate(row.calls, row.calls_error);
}

/** Completed calls per second. */
export function shownRate(row: FunctionRow): string {
  return row.calls_error > 0 && row.rate >= 1000 ? `≈${shortCount(row.rate)}/s` : rate(row.rate);
}

function shownSum(row: FunctionRow, ns: number): string {
  if (row.timed === 0) return UNKNOWN;
  const text = summed(ns, row.calls, row.probe.floor_ns);
  const scaledUp = row.calls_error > 0 || row.timed < row.calls;
  return scaledUp && !text.startsWith("<") ? `≈ ${text}` : text;
}

/** Whether self time is known and is not simply the total. */
export function callsTracedFunctions(row: FunctionRow): boolean {
  return row.self_ns !== null && row.self_ns !== row.latency_ns.total;
}

/** What probes cost in the window shown; empty when that was not measured. */
export function cost(functions: readonly FunctionRow[]): string {
  const share = functions.reduce((sum, row) => sum + (row.calls > 0 ? (row.rate * row.probes_ns) / row.calls / 1e9 : 0), 0);
  return share > 0 ? `probes cost about ${percent(share)} of one CPU` : "";
}
