// Where time went, as parts in the order of a bar.
import type { TimeParts } from "../api";

export interface Part {
  /** Also the name of its colour. */
  key: string;
  label: string;
  ns: number;
  /** 0 to 1. */
  share: number;
}

const labels: Record<string, string> = {
  on_cpu: "on CPU", io: "I/O", gc: "garbage collection", child: "child process", await: ".await", other: "other waits",
};

/** Parts that are not zero: on CPU, what was waited for, a CPU, and what is not known. */
export function partsOf(times: TimeParts): Part[] {
  const all: [string, number][] = [
    ["on_cpu", times.on_cpu], ...Object.entries(times.blocked),
    ["runnable", times.runnable], ["unattributed", times.unattributed],
  ];
  return all
    .filter(([, ns]) => ns > 0)
    .map(([key, ns]) => ({ key, label: labels[key] ?? key, ns, share: ns / Math.max(times.wall, 1) }));
}

/** The parts in words, for those who do not see the bar. */
export function describe(parts: readonly Part[], percent: (share: number) => string): string {
  return parts.map((part) => `${part.label} ${percent(part.share)}`).join(", ");
}
