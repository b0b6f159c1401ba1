// Long times in pieces: one answer holds so many steps and no more.

/** Most steps of one answer. */
export const MOST_POINTS = 2000;
/** Most answers for one file. */
const MOST_PIECES = 50;

/** Pieces of a time, so short that each step is a flush, unless that takes too many. */
export function pieces(fromMs: number, toMs: number, flushMs: number): { fromMs: number; toMs: number }[] {
  const number = Math.min(Math.max(Math.ceil((toMs - fromMs) / (MOST_POINTS * Math.max(flushMs, 1))), 1), MOST_PIECES);
  const length = (toMs - fromMs) / number;
  return Array.from({ length: number }, (_, index) => ({
    fromMs: Math.round(fromMs + index * length), toMs: Math.round(fromMs + (index + 1) * length),
  }));
}

/** Answers to pieces put together; a step at an edge can come twice. */
export function joined<T extends { time: string }>(parts: readonly T[][]): T[] {
  const all: T[] = [];
  for (const sample of parts.flat()) {
    const last = all[all.length - 1];
    if (!last || Date.parse(sample.time) > Date.parse(last.time)) all.push(sample);
  }
  return all;
}
