// Groups of goroutines or threads, each opening to its stack.
import { useState } from "preact/hooks";
import { count } from "../logic/format";
import { counted } from "../logic/names";
import { frameParts, telling } from "../logic/routines";
import type { RoutineGroup } from "../service";
import { Name } from "./panel";

/** Groups drawn at once; more on demand. */
const PAGE = 100;

export function RoutineList({ groups, one, total }: { groups: readonly RoutineGroup[]; one: string; total: number }) {
  const [most, setMost] = useState(PAGE);
  const largest = groups.reduce((max, group) => Math.max(max, group.count), 1);
  return (
    <>
      <div class="groups">
        {groups.slice(0, most).map((group) => <Group key={group.signature} group={group} one={one} largest={largest} total={total} />)}
      </div>
      {groups.length > most && (
        <p class="more-rows">
          <button type="button" class="plain" onClick={() => { setMost(most + PAGE * 5); }}>
            Show more: {count(groups.length - most)} groups are not shown
          </button>
        </p>
      )}
    </>
  );
}

interface GroupProps {
  group: RoutineGroup;
  one: string;
  largest: number;
  total: number;
}

function Group({ group, one, largest, total }: GroupProps) {
  const top = frameParts(telling(group.call_stack));
  return (
    <details data-signature={group.signature}>
      <summary>
        <span class="many">
          <span class="bar" aria-hidden="true"><span style={{ width: `${(group.count / largest) * 100}%` }} /></span>
          {count(group.count)}
        </span>
        <span class={`tag state-${group.state.replace(/[^a-z]+/gi, "-")}`}>{group.state}</span>
        <span class="what">
          <Name>{telling(group.call_stack) === "no stack" && group.names[0] ? group.names[0] : top.name}</Name>
          <span class="muted">
            {[group.wait_reason, blocked(group.blocked_minutes)].filter(Boolean).join(", ")}
          </span>
        </span>
        <span class={group.growth > 0 ? "growth more" : "growth less"} title="Change since the first look that is kept">
          {group.growth !== 0 && `${group.growth > 0 ? "+" : "−"}${count(Math.abs(group.growth))}`}
        </span>
        <span class="marks">
          {group.growing && <span class="mark growing" title="Rose in each of the last 5 looks">likely leak</span>}
          {group.stale && <span class="mark stale" title="Waits for more than 10 minutes">stale</span>}
        </span>
      </summary>
      <ol class="frames">
        {group.call_stack.map((frame, index) => {
          const { name, place } = frameParts(frame);
          return <li key={index} class="mono">{name} <span class="muted">{place}</span></li>;
        })}
      </ol>
      {group.call_stack.length === 0 && <p class="muted inset">No stack could be read.</p>}
      <p class="muted inset">
        {group.created_by && <>created by <span class="mono">{group.created_by}</span>; </>}
        {counted(group.count, one)} of {count(total)}
        {group.names.length > 0 && <>; named <span class="mono">{group.names.join(", ")}</span></>}
        {group.ids.length > 0 && <>; {group.ids.length === 1 ? "id" : "ids"} {group.ids.join(", ")}{group.count > group.ids.length && " …"}</>}
      </p>
    </details>
  );
}

function blocked(minutes: number | null): string {
  if (minutes === null || minutes === 0) return "";
  if (minutes < 120) return `blocked for ${minutes} min`;
  return `blocked for ${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
