// Which session is shown, when there are several.
import { clock } from "./format";

/** As `GET sessions` lists it. */
export interface Session {
  id: number;
  /** What the target is called. */
  label: string;
  target: string;
  language: string;
  process_id: number | null;
  process_ids: number[];
  started: string;
  ended: string | null;
  running: boolean;
}

/** The session of the same target that goes on, and began after `session` did. */
export function successor(sessions: readonly Session[], session: Session): Session | null {
  const later = sessions.filter((each) => each.running && each.label === session.label && each.id > session.id);
  return later.sort((a, b) => b.id - a.id)[0] ?? null;
}

/**
 * What to show when nothing was chosen: the latest that goes on, and from then on the same target, in the session after it
 * when it was started again. `shown` is what was shown before. Sessions come newest first.
 */
export function followed(sessions: readonly Session[], shown: number | null): number | null {
  const now = sessions.find((each) => each.id === shown);
  if (!now) return (sessions.find((each) => each.running) ?? sessions[0])?.id ?? null;
  if (now.running) return now.id;
  return successor(sessions, now)?.id ?? now.id;
}

/** One line about a session, in the zone in use. */
export function describe({ label, process_id: pid, process_ids: pids, started, ended, id }: Session): string {
  const at = (time: string): string => clock(Date.parse(time) * 1e6);
  const process = pid === null ? "no process yet" : `pid ${pid}${pids.length > 1 ? ` and ${pids.length - 1} more` : ""}`;
  const time = ended === null ? `since ${at(started)}` : `${at(started)} to ${at(ended)}`;
  return `${label} · ${process} · ${time} · #${id}`;
}

/** Sessions that are over and are offered, beside the one that is shown. */
const MOST_ENDED = 50;

/** The sessions to choose from. */
export function offered(sessions: readonly Session[], shown: number | null): { running: Session[]; over: Session[] } {
  const over = sessions.filter((each) => !each.running);
  return {
    running: sessions.filter((each) => each.running),
    over: over.filter((each, index) => index < MOST_ENDED || each.id === shown),
  };
}
