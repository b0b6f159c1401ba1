// Which zone times are shown in: the configured one, the browser's, or UTC. The choice is the viewer's.
import { useCallback, useState } from "preact/hooks";
import { useView } from "../context";
import { browserZone, isZone } from "../logic/zone";

export type ZoneKind = "service" | "browser" | "utc";

export interface ZoneChoice {
  kind: ZoneKind;
  /** IANA name; null for the browser's. */
  name: string | null;
  /** As configured, when this browser knows it. */
  configured: string | null;
  choose(kind: ZoneKind): void;
}

const KEY = "monigo-zone";

function stored(): ZoneKind {
  try {
    const text = localStorage.getItem(KEY);
    return text === "browser" || text === "utc" ? text : "service";
  } catch {
    return "service";
  }
}

export function useZoneChoice(wanted: string | null): ZoneChoice {
  const [kind, setKind] = useState<ZoneKind>(stored);
  const choose = useCallback((next: ZoneKind): void => {
    setKind(next);
    try {
      if (next === "service") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // Blocked storage: the choice lasts as long as the page.
    }
  }, []);
  const configured = wanted !== null && isZone(wanted) ? wanted : null;
  const names: Record<ZoneKind, string | null> = { service: configured, browser: null, utc: "UTC" };
  return { kind, name: names[kind], configured, choose };
}

/** Lets the viewer choose. */
export function ZoneSelect() {
  const { zone } = useView();
  const shown = zone.kind === "service" && zone.configured === null ? "browser" : zone.kind;
  return (
    <select
      aria-label="Time zone" value={shown}
      onChange={(event) => {
        const kind = event.currentTarget.value as ZoneKind;
        zone.choose(kind === "browser" && zone.configured === null ? "service" : kind);
      }}
    >
      {zone.configured !== null && <option value="service">{zone.configured} (of the service)</option>}
      <option value="browser">{browserZone()} (of this browser)</option>
      <option value="utc">UTC</option>
    </select>
  );
}
