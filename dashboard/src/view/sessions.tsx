// Choosing among the sessions of several targets, or of several runs of one.
import { useView } from "../context";
import { format, turned, type Route } from "../logic/route";
import { describe, offered, successor, type Session } from "../logic/sessions";

/** What changes when another session is chosen: what belongs to this one goes. */
function changed(route: Route, session: number): Partial<Route> {
  return { ...turned(route.page), range: null, session };
}

/** Nothing where there is nothing to choose. */
export function SessionSelect() {
  const { sessions, session, route, navigate } = useView();
  if (sessions.length < 2) return null;
  const { running, over } = offered(sessions, session);
  const list = (label: string, group: readonly Session[]) => group.length > 0 && (
    <optgroup label={label}>
      {group.map((each) => <option key={each.id} value={String(each.id)}>{describe(each)}</option>)}
    </optgroup>
  );
  return (
    <select
      class="sessions" aria-label="Session" title="Which session all pages are about" value={String(session)}
      onChange={(event) => { navigate(changed(route, Number(event.currentTarget.value)), "push"); }}
    >
      {list("Running", running)}
      {list("Over", over)}
    </select>
  );
}

/** Says that the target was started again, when its session was chosen and is over. */
export function Restarted() {
  const { sessions, session, route, navigate } = useView();
  const now = sessions.find((each) => each.id === session);
  const next = now && !now.running ? successor(sessions, now) : null;
  if (!next) return null;
  const change = changed(route, next.id);
  return (
    <p class="banner" data-banner="restarted">
      This session is over, and {next.label} runs again:{" "}
      <a
        href={format({ ...route, ...change })}
        onClick={(event) => {
          event.preventDefault();
          navigate(change, "push");
        }}
      >
        {describe(next)}
      </a>
    </p>
  );
}
