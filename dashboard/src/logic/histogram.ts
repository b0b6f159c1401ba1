// Bars of the latency histogram on a logarithmic axis.
import type { Bucket } from "../api";

export interface Bar {
  low: number;
  high: number;
  count: number;
  /** Calls in this bar and below it. */
  upTo: number;
}

/** Share of a power of two that a bar may span, finest first; the source's buckets are 1/32. */
const DIVISIONS = [32, 16, 8, 4, 2, 1];

/** Merges buckets until at most `most` bars fit, keeping edges on the bucket grid. */
export function bars(buckets: readonly Bucket[], most: number): Bar[] {
  const first = buckets[0];
  const last = buckets[buckets.length - 1];
  if (!first || !last) return [];
  const octaves = Math.log2(last.high_ns) - Math.log2(Math.max(first.low_ns, 1));
  const division = DIVISIONS.find((each) => octaves * each <= most) ?? 1;
  const merged = new Map<number, Bar>();
  for (const bucket of buckets) {
    const [low, high] = edges(bucket.low_ns, division);
    const bar = merged.get(low) ?? { low, high, count: 0, upTo: 0 };
    bar.count += bucket.count;
    bar.high = Math.max(bar.high, bucket.high_ns);
    merged.set(low, bar);
  }
  const list = [...merged.values()].sort((a, b) => a.low - b.low);
  let sum = 0;
  for (const bar of list) {
    sum += bar.count;
    bar.upTo = sum;
  }
  return list;
}

/**
 * Height of a bar whose area is its number of calls. Bars are not equally wide on a logarithmic
 * axis, so a height by count alone would jump at each power of two.
 */
export function density(bar: Bar): number {
  return bar.count / Math.log(bar.high / Math.max(bar.low, 0.5));
}

/** The bar around `ns` when each power of two has `division` bars. */
function edges(ns: number, division: number): [number, number] {
  const floor = 2 ** Math.floor(Math.log2(Math.max(ns, 1)));
  const width = floor / division;
  if (width < 1) return [ns, ns + 1];
  const low = floor + Math.floor((ns - floor) / width) * width;
  return [low, low + width];
}
