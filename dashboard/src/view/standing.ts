// Where the view stands, looked at each second: data grows old without an event.
import { serverNow } from "../api";
import { useView } from "../context";
import { useNow } from "../hooks";
import type { Connection } from "../live";
import { standing, type Standing } from "../logic/standing";

export interface LiveFacts {
  ended: boolean;
  paused: boolean;
  connection: Connection;
}

export function useStanding(facts: LiveFacts): { standing: Standing; ageMs: number | null } {
  const { overview } = useView();
  useNow(1000);
  const ageMs = overview.last_flush_ns === null ? null : serverNow() - overview.last_flush_ns / 1e6;
  return { standing: standing({ ...facts, ageMs, flushMs: overview.flush_ns / 1e6 }), ageMs };
}
