import { useView } from "../context";
import { cost } from "../logic/figures";
import { basename, count } from "../logic/format";
import { languageName } from "../logic/names";
import type { Standing } from "../logic/standing";
import { SessionSelect } from "./sessions";
import { useStanding, type LiveFacts } from "./standing";

interface Props {
  state: LiveFacts;
  togglePause(): void;
  toggleTheme(): void;
  openHelp(): void;
}

/** What probes cost: as monigo says of now, else as the figures on the page say. */
export function usePrice(): string {
  const { overview, functions } = useView();
  return overview.status.cost || cost(functions ?? []);
}

export function Header({ state, togglePause, toggleTheme, openHelp }: Props) {
  const { overview, theme, service } = useView();
  const price = usePrice();
  const pids = overview.pids;
  const shown = pids.slice(0, 3).join(", ") + (pids.length > 3 ? ` and ${count(pids.length - 3)} more` : "");
  return (
    <div class="top">
      <div class="target">
        <img src="./favicon.svg" alt="monigo" width="22" height="22" />
        <strong title={overview.target}>{service.data?.service_name || basename(overview.target)}</strong>
        <span class="tag">{languageName(overview.language)}</span>
        <span class="muted pids" title={pids.join(", ")}>
          {pids.length === 0 ? "no process yet" : `pid ${shown}`}
        </span>
        <SessionSelect />
        <span class="muted host">on {overview.host}</span>
        {price && <span class="muted cost" title={price}>{price}</span>}
      </div>
      <div class="controls">
        <State state={state} toggle={togglePause} />
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
    </div>
  );
}

const words: Record<Standing, string> = { live: "LIVE", paused: "PAUSED", stale: "STALE", lost: "LOST", ended: "ENDED" };

function State({ state, toggle }: { state: LiveFacts; toggle(): void }) {
  const { standing } = useStanding(state);
  return (
    <>
      <span class={`state ${standing}`} role="status">{words[standing]}</span>
      {!state.ended && (
        <button type="button" class="plain switch" aria-pressed={state.paused} onClick={toggle} title="Space">
          {state.paused ? "Go live" : "Pause"}
        </button>
      )}
    </>
  );
}
