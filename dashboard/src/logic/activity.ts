// What a call did, by its name in the API and its colour.
import type { Activity } from "../api";

export type Kind =
  | "on_cpu" | "lock" | "io" | "sleep" | "channel" | "network" | "events" | "gc" | "child" | "await" | "other" | "runnable" | "unattributed";

interface Look {
  label: string;
  phrase: string;
  colour: string;
}

/** In the order of bars and legends; colours are those of the bar above (style/parts.css). */
export const looks: Record<Kind, Look> = {
  on_cpu: { label: "on CPU", phrase: "running", colour: "#2f9e63" },
  lock: { label: "lock", phrase: "waiting for a lock", colour: "#d0453b" },
  io: { label: "I/O", phrase: "waiting for I/O", colour: "#3f7fd1" },
  sleep: { label: "sleep", phrase: "sleeping", colour: "#8f949c" },
  channel: { label: "channel", phrase: "waiting for a channel", colour: "#a05fc0" },
  network: { label: "network", phrase: "waiting for the network", colour: "#1f9fb5" },
  events: { label: "events", phrase: "waiting for events", colour: "#6f7fe0" },
  gc: { label: "garbage collection", phrase: "waiting for the garbage collector", colour: "#c77f2a" },
  child: { label: "child process", phrase: "waiting for a child process", colour: "#b96a8e" },
  await: { label: ".await", phrase: "suspended at .await", colour: "#4b6584" },
  other: { label: "other waits", phrase: "waiting", colour: "#7a8a5a" },
  runnable: { label: "runnable", phrase: "waiting for a CPU", colour: "#e0b12f" },
  unattributed: { label: "unattributed", phrase: "in no sample", colour: "transparent" },
};

export const kinds = Object.keys(looks) as Kind[];

/** What was done, of the API's activity and wait. */
export function kindOf(activity: Activity, wait: string | null): Kind {
  if (activity === "running") return "on_cpu";
  if (activity === "runnable") return "runnable";
  return kinds.find((kind) => kind === wait) ?? "other";
}
