// A topic over a part of the time: charts, a table, and the values as files.
import { useMemo, useState } from "preact/hooks";
import { ask } from "../api";
import { SeriesPanel, type ChartSpec } from "../charts/series-chart";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { joined, MOST_POINTS, pieces } from "../logic/chunks";
import { duration } from "../logic/format";
import { chosenSeries, figures, functionsOf, lineLabel } from "../logic/latency";
import { rangeText, restOf } from "../logic/range";
import { topics, type Topic } from "../logic/route";
import { fileName, save } from "../logic/save";
import { byUnit, csv, label, namesOf, stepOf, unitText } from "../logic/series";
import { reportBody, serviceAddress, type Sample } from "../service";
import { Empty, Panel } from "./panel";
import { SamplesTable } from "./samples-table";

const POINTS = 300;
/** More lines in one chart cannot be told apart. */
const MOST_LINES = 6;

export const topicTitles: Record<Topic, string> = {
  LoadStatistics: "Load", CPUStatistics: "CPU", MemoryStatistics: "Memory", MemoryProfile: "Heap", DiskIO: "Disk I/O",
  NetworkIO: "Network I/O", CoreStatistics: "Goroutines, threads, files", OverallHealth: "Health", FunctionLatency: "Latency of functions",
};

export function ReportsPage() {
  const { route, navigate, range, bounds, version, functions } = useView();
  const { topic } = route;
  const answer = useAnswer<Sample[]>(
    serviceAddress("reports"), `${topic} ${rangeText(range)}`, version, Math.max(restOf(bounds), 2000),
    reportBody(topic, bounds.fromMs, bounds.toMs, POINTS),
  );
  const samples = answer.data;
  const names = useMemo(() => namesOf(samples ?? []), [samples]);
  const key = names.join("\n");
  const order = useMemo(() => (functions ?? []).map((row) => row.name), [functions]);
  const offered = useMemo(() => functionsOf(names), [key]);
  const chosen = topic !== "FunctionLatency" ? null : route.filter && offered.includes(route.filter) ? route.filter : figures.find((each) => each === route.filter) ?? "p99";
  const drawn = useMemo(
    () => (chosen === null ? names : chosenSeries(names, chosen, order, MOST_LINES)), [key, chosen, order],
  );
  const drawnKey = drawn.join("\n");
  const specs = useMemo(() => chartsOf(topicTitles[topic], drawn, chosen), [drawnKey, topic, chosen]);
  const step = samples ? stepOf(samples) : 0;
  return (
    <>
      <h1 class="hidden">Reports</h1>
      <div class="bar-of-tools">
        <label>
          Report on{" "}
          <select value={topic} onChange={(event) => { navigate({ topic: event.currentTarget.value as Topic, filter: "" }); }}>
            {topics.map((each) => <option key={each} value={each}>{topicTitles[each]}</option>)}
          </select>
        </label>
        {chosen !== null && <Drawn chosen={chosen} offered={offered} choose={(filter) => { navigate({ filter }); }} />}
        {samples && samples.length > 0 && (
          <span class="muted">
            {samples.length} {samples.length === 1 ? "step" : "steps"}{step > 0 && ` of ${duration(step * 1e9)}`}, means
          </span>
        )}
        <Files topic={topic} disabled={!samples || samples.length === 0} />
      </div>
      {specs.length === 0
        ? (
          <Panel title={topicTitles[topic]} error={null}>
            <div class="no-chart">
              <Empty>{answer.error ?? (samples ? "Nothing was measured in this time window. A longer one may hold some." : "Loading…")}</Empty>
            </div>
          </Panel>
        )
        : (
          <div class={specs.length > 1 ? "pair" : undefined}>
            {specs.map((spec) => <SeriesPanel key={spec.title} spec={spec} samples={samples} error={answer.error} empty="" />)}
          </div>
        )}
      {samples && samples.length > 0 && <SamplesTable samples={samples} names={chosen === null ? names : drawn} title="Values" />}
    </>
  );
}

const figureTitles: Record<(typeof figures)[number], string> = {
  p99: "99th percentile", p90: "90th percentile", p50: "median", mean: "mean", calls: "calls per second",
};

/** One figure of all functions, or all figures of one. */
function Drawn({ chosen, offered, choose }: { chosen: string; offered: readonly string[]; choose(what: string): void }) {
  return (
    <label>
      showing{" "}
      <select class="wide" value={chosen} onChange={(event) => { choose(event.currentTarget.value); }}>
        <optgroup label={`Functions with most time, at most ${MOST_LINES}`}>
          {figures.map((figure) => <option key={figure} value={figure}>{figureTitles[figure]}</option>)}
        </optgroup>
        <optgroup label="One function">
          {offered.map((name) => <option key={name} value={name}>{name}</option>)}
        </optgroup>
      </select>
    </label>
  );
}

/** A chart for each unit, and for each six series. */
function chartsOf(title: string, names: readonly string[], chosen: string | null): ChartSpec[] {
  const groups = byUnit(names);
  return groups.flatMap(([unit, members]) => {
    const parts: string[][] = [];
    for (let at = 0; at < members.length; at += MOST_LINES) parts.push(members.slice(at, at + MOST_LINES));
    return parts.map((part, index) => ({
      title: [title, groups.length > 1 ? `(${unitText(unit)})` : "", parts.length > 1 ? `${index + 1} of ${parts.length}` : ""].filter(Boolean).join(" "),
      unit,
      lines: part.map((name) => [name, chosen === null ? label(name) : lineLabel(name, chosen)] as const),
    }));
  });
}

function Files({ topic, disabled }: { topic: Topic; disabled: boolean }) {
  const { overview, bounds, service } = useView();
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const keep = (kind: "csv" | "json") => (): void => {
    setBusy(true);
    setProblem(null);
    fetchAll(topic, bounds, overview.flush_ns / 1e6)
      .then((samples) => {
        const name = fileName([service.data?.service_name ?? overview.host, topic, new Date(bounds.toMs).toISOString().slice(0, 19)], kind);
        if (kind === "csv") save(name, "text/csv", csv(samples, namesOf(samples)));
        else save(name, "application/json", `${JSON.stringify(samples, null, 1)}\n`);
      })
      .catch((error: unknown) => { setProblem(error instanceof Error ? error.message : String(error)); })
      .finally(() => { setBusy(false); });
  };
  return (
    <span class="tools">
      {problem && <span class="error" role="alert">Not saved: {problem}</span>}
      <button type="button" class="plain" disabled={disabled || busy} onClick={keep("csv")} title="Every value of this time, times in UTC">CSV</button>
      <button type="button" class="plain" disabled={disabled || busy} onClick={keep("json")} title="Every value of this time, times in UTC">JSON</button>
    </span>
  );
}

/** Values at the steps that they were stored at, as far as that is not too many. */
async function fetchAll(topic: Topic, { fromMs, toMs }: { fromMs: number; toMs: number }, flushMs: number): Promise<Sample[]> {
  const parts: Sample[][] = [];
  for (const piece of pieces(fromMs, toMs, flushMs)) {
    const body = reportBody(topic, piece.fromMs, piece.toMs, MOST_POINTS);
    parts.push(await ask<Sample[]>(serviceAddress("reports"), new AbortController().signal, body));
  }
  return joined(parts);
}
