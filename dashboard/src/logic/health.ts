// Scores as colours and angles.
import type { Health } from "../service";

export type Tone = "good" | "fair" | "bad";

/** A score's colour: whatever is not healthy is bad. */
export function toneOf({ healthy, percent }: Health): Tone {
  if (!healthy) return "bad";
  return percent >= 70 ? "good" : "fair";
}

const RADIUS = 44;
/** The gauge leaves a quarter of the circle open, below. */
const OPEN = Math.PI / 2;

function point(share: number): string {
  const angle = Math.PI / 2 + OPEN / 2 + share * (2 * Math.PI - OPEN);
  return `${(50 + RADIUS * Math.cos(angle)).toFixed(2)} ${(50 + RADIUS * Math.sin(angle)).toFixed(2)}`;
}

/** The arc of a gauge in a box of 100 × 100, from its beginning to a share between 0 and 1; empty for 0. */
export function arc(share: number): string {
  const end = Math.min(Math.max(share, 0), 1);
  if (!(end > 0)) return "";
  const large = end * (2 * Math.PI - OPEN) > Math.PI ? 1 : 0;
  return `M ${point(0)} A ${RADIUS} ${RADIUS} 0 ${large} 1 ${point(end)}`;
}

/** What exceeds a limit, or is below it, as sentences; the first of `icon_msg` says that already. */
export function parts(message: string): { verdict: string; figures: string[] } {
  const at = message.indexOf(": ");
  if (at < 0) return { verdict: message, figures: [] };
  return { verdict: message.slice(0, at), figures: message.slice(at + 2).split(/,\s+/).filter(Boolean) };
}
