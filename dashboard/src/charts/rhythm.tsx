// Rate and latency over time, two charts with one cursor.
import { useMemo } from "preact/hooks";
import { address, type SeriesPoint } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { duration, durationTick, rate, shortCount } from "../logic/format";
import { rangeText } from "../logic/range";
import { Empty, Panel } from "../view/panel";
import { TimeChart, type Line } from "./time-chart";

const MOST_STEPS = 240;

const rateLines: readonly Line[] = [{ label: "", colour: "series-1", fill: true }];
const latencyLines: readonly Line[] = [
  { label: "p99", colour: "series-2" },
  { label: "p50", colour: "series-1" },
];

export function Rhythm({ id }: { id: number | null }) {
  const { range, bounds, window: params, version } = useView();
  const answer = useAnswer<SeriesPoint[]>(
    address("series", { function: id, points: MOST_STEPS, ...params }), `${id} ${rangeText(range)}`, version,
  );
  const data = useMemo(() => {
    const series = answer.data ?? [];
    const none = (point: SeriesPoint, value: number): number | null => (point.calls > 0 ? value : null);
    const times = series.map((point) => (point.at_ns + point.step_ns / 2) / 1e9);
    return {
      rate: [times, series.map((point) => point.calls / (point.step_ns / 1e9))],
      latency: [
        times,
        series.map((point) => none(point, point.p99)),
        series.map((point) => none(point, point.p50)),
      ],
      any: series.some((point) => point.calls > 0),
    };
  }, [answer.data]);
  const span = [bounds.fromMs / 1000, bounds.toMs / 1000] as const;
  const empty = answer.data && !data.any ? <Empty>No call completed in this time window.</Empty> : null;
  return (
    <div class="pair">
      <Panel title="Rate over time" note="calls per second" error={answer.error}>
        {empty ?? (
          <TimeChart label="Calls per second over time" lines={rateLines} data={data.rate} tick={shortCount} value={rate} span={span} />
        )}
      </Panel>
      <Panel title="Latency over time" note="log scale" error={answer.error}>
        {empty ?? (
          <TimeChart
            label="Median and 99th percentile over time" lines={latencyLines} data={data.latency}
            tick={durationTick} value={duration} log span={span}
          />
        )}
      </Panel>
    </div>
  );
}
