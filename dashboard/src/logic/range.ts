// The part of the time that a view shows, in a link and as parameters of the API.

/** Seconds back from the latest data, the whole recording, or between two Unix times in ms. */
export type Range = number | "all" | { fromMs: number; toMs: number };

/** What one click or one key chooses. */
export const presets: readonly (number | "all")[] = [10, 60, 300, 900, 3600, 21_600, 86_400, 604_800, "all"];

const labels: Record<string, string> = {
  10: "10 s", 60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 21_600: "6 h", 86_400: "24 h", 259_200: "3 d",
  604_800: "7 d", all: "All",
};

export function presetLabel(preset: number | "all"): string {
  return labels[preset] ?? `${preset} s`;
}

/** A recording younger than this is shown as a whole unless something else is chosen. */
const WHOLE_S = 3600;

/** What is shown when nothing was chosen. */
export function defaultRange(startedNs: number, lastNs: number | null, ended: boolean): Range {
  return ended || lastNs === null || lastNs - startedNs < WHOLE_S * 1e9 ? "all" : WHOLE_S;
}

export function isBetween(range: Range | null): range is { fromMs: number; toMs: number } {
  return typeof range === "object" && range !== null;
}

export function sameRange(a: Range | null, b: Range | null): boolean {
  return rangeText(a) === rangeText(b);
}

/** As in a link: `300`, `all`, `1764337000000-1764338000000`. */
export function rangeText(range: Range | null): string {
  if (range === null) return "";
  return isBetween(range) ? `${range.fromMs}-${range.toMs}` : String(range);
}

/** Reads what `rangeText` writes; null for anything else. */
export function parseRange(text: string | null): Range | null {
  if (text === null) return null;
  const preset = presets.find((each) => String(each) === text);
  if (preset !== undefined) return preset;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  const [, from, to] = /^(\d{1,14})-(\d{1,14})$/.exec(text) ?? [];
  const [fromMs, toMs] = [Number(from), Number(to)];
  return fromMs < toMs ? { fromMs, toMs } : null;
}

/** 1 ms: keeps a flush at the very edge on the right side, although numbers here round to 256 ns. */
const EDGE_NS = 1_000_000;

/**
 * Parameters `from` and `to` of a range that ends at `anchorNs`, the time of a flush. A live view leaves the end
 * open; a frozen one ends at the anchor.
 */
export function windowParams(range: Range, anchorNs: number | null, frozen: boolean): Record<string, string> {
  // As text: Unix time in ns is beyond what numbers hold exactly.
  if (isBetween(range)) return { from: `${range.fromMs}000000`, to: `${range.toMs}000000` };
  if (anchorNs === null) return {};
  const params: Record<string, string> = {};
  if (range !== "all") params["from"] = String(anchorNs - range * 1e9 + EDGE_NS);
  if (frozen) params["to"] = String(anchorNs + EDGE_NS);
  return params;
}

/** The same as Unix times in ms; the end includes the anchor. */
export function boundsOf(range: Range, startedNs: number, anchorNs: number | null): { fromMs: number; toMs: number } {
  if (isBetween(range)) return range;
  const toMs = Math.ceil((anchorNs ?? startedNs) / 1e6) + 1;
  const fromMs = range === "all" ? Math.floor(startedNs / 1e6) : toMs - range * 1000;
  return { fromMs: Math.min(fromMs, toMs - 1), toMs };
}

/** Time between two looks at something that covers the range: a long one changes little in a second. ms. */
export function restOf({ fromMs, toMs }: { fromMs: number; toMs: number }): number {
  return Math.min(Math.max((toMs - fromMs) / 300, 1000), 30_000);
}
