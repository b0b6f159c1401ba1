// Where axes have their labels.
import { offsetAt } from "./zone";

/** Ticks at 1, 2 and 5 times powers of ten between two durations, thinned to at most `most`. */
export function logTicks(low: number, high: number, most: number): number[] {
  const from = Math.max(low, 1);
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(from)); 10 ** power <= high; power += 1) {
      for (const digit of digits) {
        const tick = digit * 10 ** power;
        if (tick >= from && tick <= high) ticks.push(tick);
      }
    }
    if (ticks.length <= most) return ticks;
  }
  const ticks: number[] = [];
  const powers = Math.log10(high / from);
  const every = Math.max(1, Math.ceil(powers / most));
  for (let power = Math.ceil(Math.log10(from)); 10 ** power <= high; power += every) ticks.push(10 ** power);
  return ticks;
}

/** Steps between labels of a time axis, in s. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/** Round times in ns between two Unix times in ns, at most `most`. */
export function timeTicks(fromNs: number, toNs: number, most: number): number[] {
  const seconds = (toNs - fromNs) / 1e9;
  const step = (TIME_STEPS.find((each) => seconds / each <= most) ?? Math.ceil(seconds / most / 86_400) * 86_400) * 1e9;
  // Round in the time that is shown.
  const offset = -offsetAt(fromNs / 1e6) * 1e6;
  const ticks: number[] = [];
  for (let at = Math.ceil((fromNs - offset) / step) * step + offset; at <= toNs; at += step) ticks.push(at);
  return ticks;
}
