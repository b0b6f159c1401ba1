// Series of the service over time: one chart for each group of series in the same unit.
import { useMemo } from "preact/hooks";
import { useView } from "../context";
import { columnsOf, shown, tick, unitText, type Unit } from "../logic/series";
import type { Sample } from "../service";
import { Empty, Panel } from "../view/panel";
import { TimeChart, type Line } from "./time-chart";

/** Colours in the order that lines take them. */
export const lineColours = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6"];

export interface ChartSpec {
  title: string;
  note?: string;
  unit: Unit;
  /** Names of series, and what they are called here. */
  lines: readonly (readonly [string, string])[];
  /** What the axis ends at, at least. */
  least?: number;
}

interface Props {
  spec: ChartSpec;
  samples: readonly Sample[] | null;
  error: string | null;
  /** Said when there is none of these series. */
  empty: string;
  height?: number;
}

export function SeriesPanel({ spec, samples, error, empty, height = 180 }: Props) {
  const { bounds } = useView();
  const compact = height < 160;
  const present = useMemo(
    () => spec.lines.filter(([name]) => samples?.some(({ value }) => value[name] !== undefined)),
    [samples, spec],
  );
  const key = present.map(([name]) => name).join(" ");
  const lines = useMemo(() => present.map(([name, label]): Line => ({
    label,
    colour: lineColours[spec.lines.findIndex((line) => line[0] === name) % lineColours.length] ?? "series-1",
    fill: present.length === 1,
  })), [key, spec]);
  const data = useMemo(() => columnsOf(samples ?? [], present.map(([name]) => name)), [samples, key]);
  const format = useMemo(() => ({
    tick: (value: number) => tick(value, spec.unit), value: (value: number) => shown(value, spec.unit),
  }), [spec.unit]);
  return (
    <Panel title={spec.title} note={spec.note ?? unitText(spec.unit)} error={samples ? error : null} class="series">
      {samples && present.length > 0 ? (
        <TimeChart
          label={`${spec.title} over time`} lines={lines} data={data} tick={format.tick} value={format.value}
          span={[bounds.fromMs / 1000, bounds.toMs / 1000]} least={spec.least ?? leasts[spec.unit]}
          binary={spec.unit.startsWith("bytes")} height={height} compact={compact}
        />
      ) : (
        <div class="no-chart" style={{ minHeight: `${height + (compact ? 40 : 20)}px` }}><Empty>{samples ? empty : error ?? "Loading…"}</Empty></div>
      )}
    </Panel>
  );
}

/** An axis that ends lower would draw noise as mountains. */
const leasts: Record<Unit, number> = {
  percent: 10, bytes: 1024, "bytes/s": 1024, cores: 0.01, ns: 1000, per_second: 0.1, count: 5,
};
