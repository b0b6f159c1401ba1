// What else the target calls, and tracing it from now on.
import { useCallback, useEffect, useState } from "preact/hooks";
import { address, ask, post, type Discovery, type Found } from "../api";
import { useView } from "../context";
import { count, duration, percent, rate } from "../logic/format";
import { Name, Panel } from "./panel";

/** Time between looks at a discovery that goes on, ms. */
const LOOK = 500;
/** Functions shown. */
const SHOWN = 50;

const stages: Record<string, string> = {
  scan: "counting calls",
  timing: "timing what is called",
  watching: "watching for rare calls",
};

function note(discovery: Discovery): string | null {
  const { ranking, running } = discovery;
  if (running && !ranking) return "finding what can be probed…";
  if (!ranking) return null;
  const seconds = (ranking.elapsed_ns / 1e9).toFixed(1);
  if (running) return `${stages[ranking.stage] ?? "ending"}, ${seconds} s`;
  return `${count(ranking.probed)} functions were watched for ${seconds} s; the probes took ${percent(ranking.cost_ns / Math.max(ranking.elapsed_ns, 1))} of one CPU`;
}

/** Functions of the target by time, each with a button that traces it. Nothing for a recording that is over. */
export function Discover() {
  const { functions } = useView();
  const [discovery, setDiscovery] = useState<Discovery | null>(null);
  const [error, setError] = useState<string | null>(null);

  const look = useCallback((signal: AbortSignal): void => {
    ask<Discovery>(address("discover"), signal).then(setDiscovery, () => undefined);
  }, []);
  const busy = discovery?.running ?? false;
  useEffect(() => {
    const abort = new AbortController();
    look(abort.signal);
    const timer = busy ? window.setInterval(() => { look(abort.signal); }, LOOK) : 0;
    return () => {
      abort.abort();
      window.clearInterval(timer);
    };
  }, [busy, look]);

  const send = (path: string, body: object, then: (old: Discovery) => Discovery): void => {
    setError(null);
    post(address(path), body).then(
      () => { setDiscovery((old) => old && then(old)); },
      (failed: unknown) => { setError(failed instanceof Error ? failed.message : String(failed)); },
    );
  };
  if (!discovery?.available) return null;
  const traced = new Set(functions?.map((row) => row.name));
  const found = discovery.ranking?.functions ?? [];
  const problem = error ?? discovery.error;
  return (
    <Panel
      title="Discover" note={note(discovery)}
      tools={
        <button
          type="button" class="plain" disabled={busy}
          onClick={() => { send("discover", {}, (old) => ({ ...old, running: true, ranking: null, error: null })); }}
        >
          {busy ? "Looking…" : "Find what is called"}
        </button>
      }
    >
      {problem && <p class="error" role="alert">{problem}</p>}
      {found.length === 0 && !busy && !discovery.ranking && (
        <p class="empty">Counts and times every function of the program for 5 s, at about 5% of one CPU, and ranks them by time.</p>
      )}
      {found.length > 0 && (
        <div class="short">
          <table class="discovered">
            <thead>
              <tr>
                <th scope="col" class="first">Function</th>
                <th scope="col">Calls</th>
                <th scope="col" title="Share of the time that went by; above 100% where threads run it at once">Time</th>
                <th scope="col">Self</th>
                <th scope="col">Mean</th>
                <th scope="col"><span class="hidden">Trace</span></th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, SHOWN).map((each) => (
                <Row
                  key={each.name} found={each}
                  state={traced.has(each.name) ? "traced" : discovery.traced[each.name]?.state ?? null}
                  trace={() => {
                    const mark = (old: Discovery): Discovery =>
                      ({ ...old, traced: { ...old.traced, [each.name]: { state: "traced" } } });
                    send("trace", { function: each.name }, mark);
                  }}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function Row({ found, state, trace }: { found: Found; state: string | null; trace(): void }) {
  const about = found.basis === "measured" ? "" : "≈ ";
  const share = (value: number | null): string => (value === null ? "–" : about + percent(value));
  return (
    <tr data-function={found.name}>
      <th scope="row" class="first"><Name>{found.name}</Name></th>
      <td>{found.basis === "at-least" ? "> " : ""}{rate(found.calls_per_second)}</td>
      <td>{share(found.time_share)}</td>
      <td>{share(found.self_share)}</td>
      <td>{found.mean_ns === null ? "–" : duration(found.mean_ns)}</td>
      <td>
        {state === "traced" ? "traced" : (
          <button type="button" class="plain" disabled={state === "asked"} onClick={trace} aria-label={`Trace ${found.name}`}>
            Trace
          </button>
        )}
      </td>
    </tr>
  );
}
