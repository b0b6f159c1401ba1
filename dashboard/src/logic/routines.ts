// Goroutines or threads: which groups are shown, sums by state, and all of them as text.
import type { RoutineGroup, Routines } from "../service";
import { count } from "./format";

export interface StateSum {
  state: string;
  count: number;
}

/** How many are in each state, most first. */
export function states(groups: readonly RoutineGroup[]): StateSum[] {
  const sums = new Map<string, number>();
  for (const group of groups) sums.set(group.state, (sums.get(group.state) ?? 0) + group.count);
  return [...sums].map(([state, sum]) => ({ state, count: sum })).sort((a, b) => b.count - a.count || (a.state < b.state ? -1 : 1));
}

/** Marks that a group can be looked for by. */
export type Mark = "growing" | "stale";

export interface Wanted {
  state: string | null;
  mark: Mark | null;
  /** Every word must be in the stack, the wait reason, the origin or the ids. */
  filter: string;
}

export function wanted(groups: readonly RoutineGroup[], { state, mark, filter }: Wanted): RoutineGroup[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return groups.filter((group) => {
    if (state !== null && group.state !== state) return false;
    if (mark !== null && !group[mark]) return false;
    const text = [...group.call_stack, group.wait_reason, group.state, group.created_by, ...group.names, ...group.ids.map(String)].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export type Order = "count" | "blocked" | "growth";

/** Sorted copy, largest first; ties by signature, so that rows do not jump. */
export function ordered(groups: readonly RoutineGroup[], order: Order): RoutineGroup[] {
  const key = (group: RoutineGroup): number =>
    order === "count" ? group.count : order === "blocked" ? group.blocked_minutes ?? -1 : group.growth;
  return [...groups].sort((a, b) => key(b) - key(a) || b.count - a.count || (a.signature < b.signature ? -1 : 1));
}

/** Functions that only say that something waits; what waits is below them. */
const plumbing = /^(runtime\.|time\.Sleep|sync\.|sync\/|internal\/|syscall\.|__|\[|futex|epoll|do_syscall|entry_SYSCALL|std::|core::|pthread_|schedule)/;

/** The frame that tells what a group does: the innermost that is not of the runtime. */
export function telling(stack: readonly string[]): string {
  return stack.find((frame) => !plumbing.test(frame)) ?? stack[0] ?? "no stack";
}

/** `main.run (orders/main.go:12)` as its parts. */
export function frameParts(frame: string): { name: string; place: string } {
  const match = /^(.*\S)\s+(?:\(([^\s()]*[./][^\s()]*)\)|([^\s()]+:\d+))$/.exec(frame);
  return match ? { name: match[1] ?? frame, place: match[2] ?? match[3] ?? "" } : { name: frame, place: "" };
}

/** Everything as text, to keep or to send. */
export function text(routines: Routines): string {
  const lines = [
    `${count(routines.number_of_goroutines)} ${routines.kind} at ${routines.time}`,
    ...routines.remarks.map((remark) => `# ${remark}`),
  ];
  for (const group of routines.groups) {
    const about = [
      group.state,
      ...(group.wait_reason ? [group.wait_reason] : []),
      ...(group.blocked_minutes === null ? [] : [`${group.blocked_minutes} minutes`]),
      ...(group.growing ? ["growing"] : []),
      ...(group.stale ? ["stale"] : []),
    ];
    lines.push("", `${group.count} × [${about.join(", ")}] ${group.signature}`);
    lines.push(...group.call_stack.map((frame) => `    ${frame}`));
    if (group.created_by) lines.push(`    created by ${group.created_by}`);
    if (group.names.length > 0) lines.push(`    named ${group.names.join(", ")}`);
    if (group.ids.length > 0) lines.push(`    ids ${group.ids.join(" ")}${group.count > group.ids.length ? " …" : ""}`);
  }
  return `${lines.join("\n")}\n`;
}
