// Where the view stands: what its figures are worth now.
import type { Connection } from "../live";

export type Standing = "live" | "paused" | "stale" | "lost" | "ended";

interface Facts {
  ended: boolean;
  paused: boolean;
  connection: Connection;
  /** Time since the last data, ms; null when there was none yet. */
  ageMs: number | null;
  flushMs: number;
}

/** Data that is so many flushes late, and this late, is stale. */
const LATE_FLUSHES = 5;
const LATE_MS = 15_000;

export function standing({ ended, paused, connection, ageMs, flushMs }: Facts): Standing {
  if (ended) return "ended";
  if (paused) return "paused";
  if (connection === "lost") return "lost";
  return ageMs !== null && ageMs > Math.max(flushMs * LATE_FLUSHES, LATE_MS) ? "stale" : "live";
}
