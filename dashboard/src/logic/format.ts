// Numbers as people read them; the same rules as the command line (export/format.rs).
import type { Weight } from "./route";
import { wallAt } from "./zone";

/** Three significant digits of a number below 10,000. */
function significant(value: number): string {
  if (value < 0.9995) return value.toFixed(3);
  if (value < 9.995) return value.toFixed(2);
  if (value < 99.95) return value.toFixed(1);
  return value.toFixed(0);
}

/** `847 ns`, `1.23 µs`, `45.6 ms`, `12.0 s`, then `3m 05s`, `2h 07m`, `5d 03h`. */
export function duration(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 59.95e9) {
    for (const [unit, scale] of [["µs", 1e3], ["ms", 1e6], ["s", 1e9]] as const) {
      if (ns / scale < 999.5) return `${significant(ns / scale)} ${unit}`;
    }
  }
  const seconds = Math.round(ns / 1e9);
  const pad = (value: number): string => String(value).padStart(2, "0");
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit)) as [number, number, number];
  if (days > 0) return `${days}d ${pad(hours % 24)}h`;
  if (hours > 0) return `${hours}h ${pad(minutes % 60)}m`;
  return `${minutes}m ${pad(seconds % 60)}s`;
}

/** `+12.3 ms`, `−4.00 µs`, `±0`. */
export function signed(ns: number): string {
  if (Math.abs(ns) < 0.5) return "±0";
  return `${ns < 0 ? "−" : "+"}${duration(Math.abs(ns))}`;
}

/** What a person wrote, `12.5ms` or `3 µs`, in ns; null when it is no duration above zero. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|µs|μs|ms|s|m)$/i.exec(text.trim());
  const scale = { ns: 1, us: 1e3, "µs": 1e3, "μs": 1e3, ms: 1e6, s: 1e9, m: 60e9 }[match?.[2]?.toLowerCase() ?? ""];
  const ns = match && scale ? Math.round(Number(match[1]) * scale) : 0;
  return ns > 0 ? ns : null;
}

/** The duration of one call. Below the floor it cannot be told from none: `< 160 ns`. */
export function measured(ns: number, floorNs: number): string {
  return ns < floorNs ? `< ${duration(floorNs)}` : duration(ns);
}

/** The summed duration of calls: when their mean is below the floor, what the sum cannot exceed. */
export function summed(ns: number, calls: number, floorNs: number): string {
  return measured(ns, calls * floorNs);
}

/** `12,345` when counted, else `≈ 12,300 ± 400`: the error with one digit, or two that begin with 1. */
export function estimate(value: number, error: number): string {
  if (error <= 0) return count(value);
  let unit = 10 ** Math.floor(Math.log10(error));
  if (Math.floor(error / unit) === 1 && unit >= 10) unit /= 10;
  return `≈ ${count(Math.round(value / unit) * unit)} ± ${count(Math.ceil(error / unit) * unit)}`;
}

/** The same for narrow places: `≈12.3k`. */
export function shortEstimate(value: number, error: number): string {
  return error <= 0 ? count(value) : `≈${shortCount(value)}`;
}

/** A tick of a duration axis, without needless digits: `10 µs`, `1.5 ms`. */
export function durationTick(ns: number): string {
  if (ns >= 60e9) return duration(ns);
  for (const [unit, scale] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]] as const) {
    if (ns >= scale) return `${Number((ns / scale).toPrecision(3))} ${unit}`;
  }
  return `${Number(ns.toPrecision(3))} ns`;
}

/** `1,234,567`. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `950`, `12.3k`, `4.56M`: for axes and narrow places. */
export function shortCount(value: number): string {
  if (value < 1000) return String(Number(value.toPrecision(3)));
  for (const [unit, scale] of [["k", 1e3], ["M", 1e6], ["G", 1e9]] as const) {
    if (value / scale < 999.5) return `${Number((value / scale).toPrecision(3))}${unit}`;
  }
  return `${Number((value / 1e12).toPrecision(3))}T`;
}

/** `0.250/s`, `12.3/s`, `20,013/s`. */
export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return "0/s";
  if (perSecond >= 99.95) return `${count(perSecond)}/s`;
  if (perSecond < 0.001) return "<0.001/s";
  return `${significant(perSecond)}/s`;
}

/** A share between 0 and 1: `0%`, `<0.1%`, `4.2%`, `100%`. */
export function percent(share: number): string {
  const value = share * 100;
  if (!Number.isFinite(value) || value <= 0) return "0%";
  if (value < 0.1) return "<0.1%";
  return value >= 99.95 ? `${value.toFixed(0)}%` : `${value.toFixed(1)}%`;
}

/** Wall-clock time of a Unix time in ns, in the zone of the page: `14:03:07.250`. */
export function clock(ns: number, digits: 0 | 3 = 0): string {
  // Numbers this large are off by some 100 ns, which must not show as a millisecond less.
  const { hour, minute, second, milli } = wallAt(Math.floor(ns / 1e6 + 1e-3));
  const text = [hour, minute, second].map(two).join(":");
  return digits === 0 ? text : `${text}.${String(milli).padStart(3, "0")}`;
}

/** The same with its date: `2026-11-28 14:03:07`. */
export function stamp(ns: number): string {
  const { year, month, day } = wallAt(Math.floor(ns / 1e6 + 1e-3));
  return `${year}-${two(month)}-${two(day)} ${clock(ns)}`;
}

/** A time as short as it can be: the date only of what is long, or long ago. */
export function moment(ns: number, lengthNs: number, nowMs = Date.now()): string {
  return lengthNs > 12 * 3600e9 || Math.abs(nowMs - ns / 1e6) > 12 * 3600e3 ? stamp(ns) : clock(ns);
}

/** A label of a time axis whose labels are `stepSeconds` apart: `14:03:07`, `14:03`, and `28 Nov` at midnight. */
export function axisTime(ns: number, stepSeconds: number): string {
  const { month, day, hour, minute, second } = wallAt(Math.floor(ns / 1e6 + 1e-3));
  if (stepSeconds >= 86_400 || (stepSeconds >= 60 && hour === 0 && minute === 0)) return `${day} ${months[month - 1]}`;
  return stepSeconds < 60 ? [hour, minute, second].map(two).join(":") : `${two(hour)}:${two(minute)}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `512 B`, `1.50 KiB`, `2.68 MiB`. */
export function bytes(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return "–";
  if (size < 1024) return `${size < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value)} B`;
  let [scaled, unit] = [size, 0];
  while (scaled >= 999.5 && unit < byteUnits.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${value < 0 ? "−" : ""}${scaled < 0.9995 ? scaled.toFixed(2) : significant(scaled)} ${byteUnits[unit]}`;
}

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A value that is in percent already: `0%`, `<0.1%`, `42.5%`. */
export function percentage(value: number): string {
  return percent(value / 100);
}

/** A number of CPUs: `0.042`, `1.25`. */
export function cores(value: number): string {
  return value === 0 ? "0" : value < 0.001 ? "<0.001" : significant(value);
}

/** What a flame graph's weight is in. */
export function weight(value: number, kind: Weight): string {
  return kind === "calls" ? `${count(value)} ${value === 1 ? "call" : "calls"}` : duration(value);
}

/** The last part of a path. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}
