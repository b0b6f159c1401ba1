import { useLayoutEffect, useRef } from "preact/hooks";
import type { FunctionRow, Instance } from "../api";
import { useView } from "../context";
import { Flamegraph } from "../charts/flamegraph";
import { HeatmapPanel } from "../charts/heatmap";
import { HistogramPanel } from "../charts/histogram";
import { Parts } from "../charts/parts";
import { Rhythm } from "../charts/rhythm";
import { callsTracedFunctions, shownCalls, shownNs, shownRate, shownSelf, shownTotal } from "../logic/figures";
import { count, duration, percent } from "../logic/format";
import { format, opened } from "../logic/route";
import { ChangePanel } from "./change";
import { SlowestCalls } from "./calls";
import { remember } from "./functions-page";
import { Empty } from "./panel";
import { SelectionBar } from "./selection-bar";
import { Stacks } from "./stacks";
import { TailPanel } from "./tail";

/** One function. */
export function FunctionPage({ id }: { id: number }) {
  const { functions, route, navigate } = useView();
  const heading = useRef<HTMLHeadingElement>(null);
  const row = functions?.find((candidate) => candidate.id === id);
  // With the render, so that no key is pressed where nothing has the focus.
  useLayoutEffect(() => {
    remember(id);
    window.scrollTo(0, 0);
    heading.current?.focus({ preventScroll: true });
  }, [id]);
  const back = (event: MouseEvent): void => {
    event.preventDefault();
    navigate(opened(null), "push");
  };
  return (
    <>
      <div class="crumbs">
        <a href={format({ ...route, ...opened(null) })} onClick={back}>← All functions</a>
      </div>
      <h1 class="function" ref={heading} tabIndex={-1}>{row?.name ?? `Function ${id}`}</h1>
      {functions && !row && <Empty>This recording has no function with id {id}.</Empty>}
      {row && <Facts row={row} />}
      {(row ?? !functions) && (
        <>
          <Parts id={id} />
          <Rhythm id={id} />
          <div class="pair">
            <HistogramPanel id={id} row={row ?? null} />
            <HeatmapPanel id={id} />
          </div>
          <SelectionBar id={id} />
          <TailPanel id={id} />
          {row && <ChangePanel row={row} />}
          <Flamegraph id={id} />
          <div class="pair">
            <SlowestCalls id={id} />
            <Stacks id={id} />
          </div>
        </>
      )}
    </>
  );
}

/** The bodies that the figures are the sums of. */
function Instances({ instances }: { instances: Instance[] }) {
  return (
    <details class="instances">
      <summary>{count(instances.length)} instances, whose figures are added up; with --by-instance, each has a row</summary>
      <ul class="mono">
        {instances.map((it) => (
          <li key={it.address} title={it.linkage_name}>
            {it.address} {it.name}{" "}
            <span class="muted">
              {count(it.sites)} {it.sites === 1 ? "site" : "sites"}, {it.cost_class}
              {it.file && `, ${it.file}${it.line === null ? "" : `:${it.line}`}`}
            </span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Facts({ row }: { row: FunctionRow }) {
  const { latency_ns: latency, probe } = row;
  const time = (ns: number): string => shownNs(row, ns);
  const facts: readonly (readonly [string, string, (string | undefined)?])[] = [
    ["Calls", shownCalls(row)],
    ["Rate", shownRate(row)],
    ["p50", time(latency.p50)],
    ["p90", time(latency.p90)],
    ["p99", time(latency.p99)],
    ["p99.9", time(latency.p999)],
    ["Max", time(latency.max)],
    ["Min", time(latency.min)],
    ["Mean", time(latency.mean)],
    ["Total", shownTotal(row)],
    ...(callsTracedFunctions(row) ? [["Self", shownSelf(row)] as const] : []),
    ["Share", percent(row.share)],
    ["Unwound", count(row.unwound), row.unwound > 0 ? "flagged" : undefined],
    ["In flight", count(row.in_flight)],
  ];
  return (
    <>
      <p class="muted where">
        {row.file && <span class="mono">{row.file}{row.line === null ? "" : `:${row.line}`}</span>}
        <span class="mono">{row.image}</span>
        <span>
          probed at {probe.entry}, {count(probe.sites)} sites ({probe.cost_class}), ends seen at{" "}
          {probe.exit === "ret" ? "returns" : "a return probe"}
        </span>
        {probe.cost_ns > 0 && (
          <span>
            probes take about {duration(probe.cost_ns)} a call, taken off its duration; below {duration(probe.floor_ns)} it cannot be
            told from none
          </span>
        )}
        {row.calls_error > 0 && <span>calls estimated from a part of the time; the interval is 95%</span>}
        {row.timed < row.calls && <span>latency measured in time windows: {percent(row.timed / row.calls)} of the calls</span>}
        {row.unmatched > 0 && (
          <span>{count(row.unmatched)} {row.unmatched === 1 ? "call" : "calls"} begun before attaching, not counted</span>
        )}
      </p>
      {probe.instances && <Instances instances={probe.instances} />}
      <dl class="facts">
        {facts.map(([name, value, extra]) => (
          <div key={name} class={extra}><dt>{name}</dt><dd>{value}</dd></div>
        ))}
      </dl>
    </>
  );
}
