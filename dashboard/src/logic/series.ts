// Series of the service: what they are in, and as columns of a chart or a table.
import type { Sample } from "../service";
import { bytes, cores, count, duration, percentage, shortCount } from "./format";
import { ofFunction } from "./latency";

export type Unit = "percent" | "bytes" | "bytes/s" | "cores" | "ns" | "per_second" | "count";

/** What a series is in, by its name; see `system::metrics::SERIES` in monigo. */
export function unitOf(name: string): Unit {
  if (/(_load|_load_of_service|_percent)$/.test(name)) return "percent";
  if (/^[a-z_]*bytes_[a-z_]*per_second$/.test(name)) return "bytes/s";
  if (name.endsWith("per_second")) return "per_second";
  if (/(_ns|_duration)$/.test(name)) return "ns";
  if (/_cores$|^cores_/.test(name)) return "cores";
  if (/memory|bytes|alloc/.test(name)) return "bytes";
  return "count";
}

/** A value as people read it. */
export function shown(value: number, unit: Unit): string {
  switch (unit) {
    case "percent": return percentage(value);
    case "bytes": return bytes(value);
    case "bytes/s": return `${bytes(value)}/s`;
    case "cores": return cores(value);
    case "ns": return duration(value);
    case "per_second": return `${shortCount(value)}/s`;
    case "count": return Number.isInteger(value) || value >= 100 ? count(value) : String(Number(value.toPrecision(3)));
  }
}

/** The same for an axis, where ticks are round. */
export function tick(value: number, unit: Unit): string {
  switch (unit) {
    case "percent": return `${Number(value.toPrecision(3))}%`;
    case "bytes": case "bytes/s": return value === 0 ? "0" : bytes(value).replace(/\.0+(?= )|(\.\d*?)0+(?= )/, "$1");
    case "ns": return value === 0 ? "0" : duration(value).replace(/\.0+(?= )|(\.\d*?)0+(?= )/, "$1");
    case "cores": return String(Number(value.toPrecision(3)));
    default: return shortCount(value);
  }
}

const unitTexts: Record<Unit, string> = {
  percent: "%", bytes: "bytes", "bytes/s": "bytes per second", cores: "CPUs", ns: "time",
  per_second: "per second", count: "count",
};

export function unitText(unit: Unit): string {
  return unitTexts[unit];
}

/** `cores_used_by_service` as `cores used by service`. */
export function label(name: string): string {
  // Names of functions are not ours.
  if (ofFunction(name)) return name.replace(/_ns$/, "").replace(/calls_per_second$/, "calls");
  return name.replaceAll("_", " ").replace(/\bcpu\b/gi, "CPU").replace(/\bgc\b/gi, "GC").replace(/\bos\b/g, "OS").replace(/\bio\b/g, "I/O");
}

/** All names in samples, in the order of their first appearance. */
export function namesOf(samples: readonly Sample[]): string[] {
  const names = new Set<string>();
  for (const { value } of samples) for (const name of Object.keys(value)) names.add(name);
  return [...names];
}

/** Time between samples in s: the median, since some may be missing; 0 when there are not two. */
export function stepOf(samples: readonly Sample[]): number {
  const times = samples.map(({ time }) => Date.parse(time) / 1000);
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0)).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 0;
}

/** So many steps without data, and so many seconds, are a hole in a line; less is a late reading. */
const [MISSING, MISSING_S] = [3.5, 5];

/** Times in s, then values per name; null where a series has none, and where data is missing in between. */
export function columnsOf(samples: readonly Sample[], names: readonly string[]): (number | null)[][] {
  const times = samples.map(({ time }) => Date.parse(time) / 1000);
  const usual = stepOf(samples);
  const columns: (number | null)[][] = [[], ...names.map(() => [])];
  samples.forEach(({ value }, index) => {
    const time = times[index] ?? 0;
    const before = times[index - 1];
    if (before !== undefined && usual > 0 && time - before > Math.max(usual * MISSING, MISSING_S)) {
      columns.forEach((column, at) => column.push(at === 0 ? before + usual : null));
    }
    columns.forEach((column, at) => column.push(at === 0 ? time : value[names[at - 1] ?? ""] ?? null));
  });
  return columns;
}

/** Names by their unit, in the order of their first appearance. */
export function byUnit(names: readonly string[]): [Unit, string[]][] {
  const groups = new Map<Unit, string[]>();
  for (const name of names) {
    const unit = unitOf(name);
    groups.set(unit, [...(groups.get(unit) ?? []), name]);
  }
  return [...groups];
}

/** Samples as CSV with the values as they came: one column per series, times in UTC. */
export function csv(samples: readonly Sample[], names: readonly string[]): string {
  const rows = samples.map(({ time, value }) => [time, ...names.map((name) => (value[name] === undefined ? "" : String(value[name])))]);
  return [["time", ...names], ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Spreadsheets take cells that begin so for formulas; names of functions may. */
function cell(text: string): string {
  const plain = /^[=@\t\r]|^[+-](?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
