// Goroutines or threads: how many over time, and what they are at, grouped by identical stack.
import { useMemo, useState } from "preact/hooks";
import { SeriesPanel, type ChartSpec } from "../charts/series-chart";
import { ViewContext, useView } from "../context";
import { useAnswer } from "../hooks";
import { count, stamp } from "../logic/format";
import { counted, routinesName } from "../logic/names";
import { ordered, states, text, wanted, type Mark, type Order } from "../logic/routines";
import { fileName, save } from "../logic/save";
import { seriesBody, serviceAddress, type Routines, type Sample } from "../service";
import { Empty, Panel } from "./panel";
import { RoutineList } from "./routine-list";
import { Segments } from "./segments";

/** Reading all goroutines costs the target nothing and monigo a little. ms. */
const LOOK = 5000;
const HOUR = 3_600_000;
const POINTS = 240;

export function RoutinesPage() {
  const view = useView();
  const { overview, clock } = view;
  const answer = useAnswer<Routines>(serviceAddress("go-routines-stats"), "routines", clock, LOOK);
  const name = routinesName(answer.data?.kind === "threads" ? "" : answer.data?.kind === "goroutines" ? "go" : overview.language);
  const go = name === "Goroutines";
  const toMs = Math.ceil((overview.last_flush_ns ?? overview.started_ns) / 1e6) + 1;
  // This chart has its own window: leaks show over an hour, whatever else is looked at.
  const hour = useMemo(() => ({ fromMs: toMs - HOUR, toMs }), [toMs]);
  const series = useAnswer<Sample[]>(
    serviceAddress("service-metrics"), "routines", clock, LOOK,
    seriesBody(go ? ["goroutines", "threads"] : ["threads"], hour.fromMs, hour.toMs, POINTS),
  );
  const spec = useMemo((): ChartSpec => ({
    title: `${name} in the last hour`, note: "count", unit: "count", lines: go ? [["goroutines", "goroutines"], ["threads", "threads"]] : [["threads", "threads"]],
  }), [name, go]);
  return (
    <>
      <h1 class="hidden">{name}</h1>
      <ViewContext.Provider value={{ ...view, bounds: hour }}>
        <SeriesPanel spec={spec} samples={series.data} error={series.error} empty="Nothing was counted in this hour." />
      </ViewContext.Provider>
      <Groups name={name} routines={answer.data} error={answer.error} />
    </>
  );
}

function Groups({ name, routines, error }: { name: string; routines: Routines | null; error: string | null }) {
  const { route, navigate, overview } = useView();
  const [mark, setMark] = useState<Mark | null>(null);
  const [order, setOrder] = useState<Order>("count");
  const groups = routines?.groups ?? [];
  const sums = useMemo(() => states(groups), [groups]);
  const shown = useMemo(
    () => ordered(wanted(groups, { state: route.state, mark, filter: route.filter }), order), [groups, route.state, mark, route.filter, order],
  );
  const marks: readonly (readonly [Mark, string])[] = [["growing", "growing"], ["stale", "stale"]];
  const found = marks.map(([key, label]) => [key, label, groups.filter((group) => group[key]).length] as const);
  const one = name.toLowerCase().slice(0, -1);

  if (!routines) {
    return <Panel title={name}><Empty>{error ?? "Loading…"}</Empty></Panel>;
  }
  const listed = groups.reduce((sum, group) => sum + group.count, 0);
  return (
    <Panel
      title={counted(routines.number_of_goroutines, one)} error={error} class="routines"
      note={`in ${counted(groups.length, "group")} of the same state and stack, read at ${stamp(Date.parse(routines.time) * 1e6)}`}
      tools={
        <>
          <Segments<Order>
            label="Order" chosen={order} choose={setOrder}
            options={[["count", "Most"], ["blocked", "Longest blocked"], ["growth", "Fastest growing"]]}
          />
          <input
            type="search" placeholder="Filter  /" aria-label={`Filter ${name.toLowerCase()}`} value={route.filter}
            onInput={(event) => { navigate({ filter: event.currentTarget.value }); }}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              event.preventDefault();
              navigate({ filter: "" });
              event.currentTarget.blur();
            }}
          />
          <button
            type="button" class="plain"
            onClick={() => { save(fileName([overview.host, name.toLowerCase(), routines.time.slice(0, 19)], "txt"), "text/plain", text(routines)); }}
          >
            Text
          </button>
        </>
      }
    >
      <div class="chips" role="group" aria-label="State">
        <Toggle pressed={route.state === null && mark === null} press={() => { navigate({ state: null }); setMark(null); }}>
          all <b>{count(listed)}</b>
        </Toggle>
        {sums.map(({ state, count: sum }) => (
          <Toggle key={state} pressed={route.state === state} press={() => { navigate({ state: route.state === state ? null : state }); }}>
            {state} <b>{count(sum)}</b>
          </Toggle>
        ))}
        {found.filter(([, , number]) => number > 0).map(([key, label, number]) => (
          <Toggle key={key} class={key} pressed={mark === key} press={() => { setMark(mark === key ? null : key); }}>
            {label} <b>{counted(number, "group")}</b>
          </Toggle>
        ))}
      </div>
      {routines.remarks.length > 0 && <ul class="remarks">{routines.remarks.map((remark) => <li key={remark}>{remark}</li>)}</ul>}
      {shown.length === 0
        ? <Empty>{groups.length === 0 ? `No ${one} could be listed.` : `No ${one} matches.`}</Empty>
        : <RoutineList groups={shown} one={one} total={routines.number_of_goroutines} />}
    </Panel>
  );
}

interface ToggleProps {
  pressed: boolean;
  press(): void;
  class?: string;
  children: preact.ComponentChildren;
}

function Toggle({ pressed, press, class: extra, children }: ToggleProps) {
  return <button type="button" class={extra ? `toggle ${extra}` : "toggle"} aria-pressed={pressed} onClick={press}>{children}</button>;
}
