import { useView } from "../context";
import type { Connection } from "../live";
import { cost } from "../logic/figures";
import { basename, count } from "../logic/format";
import { spans, type Span } from "../logic/route";

interface Props {
  paused: boolean;
  ended: boolean;
  connection: Connection;
  togglePause(): void;
  toggleTheme(): void;
  openHelp(): void;
}

const labels: Record<string, string> = { 10: "10 s", 60: "1 min", 300: "5 min", all: "All" };
const languages: Record<string, string> = { go: "Go", rust: "Rust", c: "C", "c++": "C++" };

/** What probes cost: as monigo says of now, else as the figures on the page say. */
export function usePrice(): string {
  const { overview, functions } = useView();
  return overview.status.cost || cost(functions ?? []);
}

export function Header({ paused, ended, connection, togglePause, toggleTheme, openHelp }: Props) {
  const { overview, theme } = useView();
  const price = usePrice();
  const pids = overview.pids;
  const shown = pids.slice(0, 3).join(", ") + (pids.length > 3 ? ` and ${count(pids.length - 3)} more` : "");
  return (
    <header class="top">
      <div class="target">
        <img src="./favicon.svg" alt="monigo" width="22" height="22" />
        <strong title={overview.target}>{basename(overview.target)}</strong>
        <span class="tag">{languages[overview.language] ?? overview.language}</span>
        <span class="muted pids" title={pids.join(", ")}>
          {pids.length === 0 ? "no process yet" : `pid ${shown}`}
        </span>
        <span class="muted host">on {overview.host}</span>
        {price && <span class="muted cost" title={price}>{price}</span>}
      </div>
      <div class="controls">
        <Spans />
        <State paused={paused} ended={ended} connection={connection} toggle={togglePause} />
        <button
          type="button" class="icon" onClick={toggleTheme}
          aria-label={theme === "dark" ? "Switch to light" : "Switch to dark"} title="Light or dark (t)"
        >
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
            <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
          </svg>
        </button>
        <button type="button" class="icon" onClick={openHelp} aria-label="Help" title="Keys and terms (?)">?</button>
      </div>
    </header>
  );
}

function Spans() {
  const { route, navigate } = useView();
  const choose = (span: Span) => () => { navigate({ span }); };
  return (
    <div class="segments" role="group" aria-label="Time window">
      {spans.map((span) => (
        <button type="button" key={span} aria-pressed={route.span === span} onClick={choose(span)}>
          {labels[span]}
        </button>
      ))}
    </div>
  );
}

interface StateProps {
  paused: boolean;
  ended: boolean;
  connection: Connection;
  toggle(): void;
}

function State({ paused, ended, connection, toggle }: StateProps) {
  if (ended) return <span class="state ended">ENDED</span>;
  if (paused) {
    return (
      <button type="button" class="state paused" aria-pressed="true" onClick={toggle} title="Go on (Space)">
        PAUSED
      </button>
    );
  }
  const lost = connection === "lost";
  return (
    <button
      type="button" class={lost ? "state stale" : "state live"} aria-pressed="false"
      onClick={toggle} title="Pause (Space)"
    >
      {lost ? "STALE" : "LIVE"}
    </button>
  );
}
