// A function in the selected time, beside the time before or after: what a deploy or a burst changed.
import { useMemo, useState } from "preact/hooks";
import { address, type Comparison, type Figures, type FunctionRow } from "../api";
import { Difference } from "../charts/difference";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { count, duration, estimate, measured, rate } from "../logic/format";
import { againstParams, type Against } from "../logic/selection";
import { Empty, Panel } from "./panel";
import { Segments } from "./segments";

/** Nothing without a selected time. */
export function ChangePanel({ row }: { row: FunctionRow }) {
  const { route, window: params, version, theme, functions } = useView();
  const [against, setAgainst] = useState<Against>("before");
  const parts = againstParams(params, route.selection, against);
  const asked = { ...parts, name: row.name, weight: "time" };
  const { fromMs, toMs } = route.selection;
  const answer = useAnswer<Comparison>(
    parts ? address("diff", asked) : null, `${row.id} ${fromMs} ${toMs} ${against}`, version, 3000,
  );
  const traced = useMemo(() => new Set(functions?.map((each) => each.name)), [functions]);
  if (!parts) return null;
  const { data } = answer;
  const change = data?.functions.find((each) => each.name === row.name);
  const both = change?.before && change.after && change.before.calls > 0 && change.after.calls > 0;
  return (
    <Panel
      title="What changed" class="change" error={data ? answer.error : null}
      note={data && `${duration(data.after.duration_ns)} selected against ${duration(data.before.duration_ns)} ${against}, all calls`}
      tools={
        <>
          <Segments<Against>
            label="Compare the selected time with" chosen={against} choose={setAgainst}
            options={[["before", "The time before"], ["after", "The time after"]]}
          />
          {both && <span class="files"><a href={address("diff.svg", asked)} download>SVG</a></span>}
        </>
      }
    >
      {!data && <Empty>{answer.error ?? "Comparing…"}</Empty>}
      {data && !both && <Empty>{data.notes[0] ?? `No call completed in the time ${against}.`}</Empty>}
      {data && both && change.before && change.after && (
        <>
          <Changes before={change.before} after={change.after} />
          {data.notes.length > 0 && <ul class="notes muted">{data.notes.map((note) => <li key={note}>{note}</li>)}</ul>}
          {data.unit === "ns_per_call" && data.tree.before + data.tree.after > 0 && (
            <Difference
              tree={data.tree} sides={{ after: "a call now", before: `one ${against}` }} traced={traced} theme={theme}
            />
          )}
        </>
      )}
    </Panel>
  );
}

function Changes({ before, after }: { before: Figures; after: Figures }) {
  const time = (ns: number, figures: Figures): string => measured(ns, figures.floor_ns);
  const rows: readonly (readonly [string, string, string, number, number])[] = [
    ["Calls", estimate(before.calls, before.calls_error), estimate(after.calls, after.calls_error), 0, 0],
    ["Rate", rate(before.rate), rate(after.rate), before.rate, after.rate],
    ["Mean", time(before.mean_ns, before), time(after.mean_ns, after), before.mean_ns, after.mean_ns],
    ["p50", time(before.p50_ns, before), time(after.p50_ns, after), before.p50_ns, after.p50_ns],
    ["p99", time(before.p99_ns, before), time(after.p99_ns, after), before.p99_ns, after.p99_ns],
  ];
  return (
    <dl class="changes">
      {rows.map(([name, old, now, from, to]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd><span class="muted">{old} →</span> <b>{now}</b>{" "}<Ratio name={name} from={from} to={to} /></dd>
        </div>
      ))}
    </dl>
  );
}

/** How many times as much; nothing when it is about the same. */
function Ratio({ name, from, to }: { name: string; from: number; to: number }) {
  if (!(from > 0) || !(to > 0)) return null;
  const ratio = to / from;
  if (ratio > 0.95 && ratio < 1.05) return null;
  // More calls are neither better nor worse.
  const kind = name === "Rate" ? "ratio" : ratio > 1 ? "ratio more" : "ratio less";
  return <span class={kind}>× {ratio >= 99.5 ? count(ratio) : Number(ratio.toPrecision(2))}</span>;
}
