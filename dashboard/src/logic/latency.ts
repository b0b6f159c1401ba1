// The report on functions has several series for each; which of them are drawn.

/** What can be drawn of all functions at once, in the order of the choice. */
export const figures = ["p99", "p90", "p50", "mean", "calls"] as const;

/** A series of a function: `main.run p99_ns`, `main.run calls_per_second`. */
export function ofFunction(series: string): { name: string; figure: string } | null {
  const match = /^(.+) (?:(calls)_per_second|(mean|p50|p90|p99)_ns)$/.exec(series);
  return match ? { name: match[1] ?? "", figure: match[2] ?? match[3] ?? "" } : null;
}

/** Functions that series are of, in the order of their first appearance. */
export function functionsOf(series: readonly string[]): string[] {
  return [...new Set(series.flatMap((each) => ofFunction(each)?.name ?? []))];
}

/**
 * Series of one function, or one figure of all: `chosen` is a function or a figure. Of all functions, those that come
 * first in `order`, at most `most`.
 */
export function chosenSeries(series: readonly string[], chosen: string, order: readonly string[], most: number): string[] {
  const found = series.filter((each) => {
    const parts = ofFunction(each);
    return parts !== null && (parts.name === chosen || parts.figure === chosen);
  });
  const rank = (each: string): number => {
    const at = order.indexOf(ofFunction(each)?.name ?? "");
    return at < 0 ? order.length : at;
  };
  const single = found.some((each) => ofFunction(each)?.name === chosen);
  return single ? found : found.sort((a, b) => rank(a) - rank(b)).slice(0, most);
}

/** What a line is called beside others of the same choice. */
export function lineLabel(series: string, chosen: string): string {
  const parts = ofFunction(series);
  if (!parts) return series;
  return parts.name === chosen ? parts.figure : parts.name;
}
