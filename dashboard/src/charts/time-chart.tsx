// A uPlot in the page's colours.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { useView } from "../context";
import { colour, useWidth } from "../hooks";
import { axisTime, moment } from "../logic/format";
import { logTicks } from "../logic/ticks";
import { zoneName } from "../logic/zone";

export interface Line {
  label: string;
  /** Name of a colour of the style sheet. */
  colour: string;
  fill?: boolean;
}

interface Props {
  label: string;
  lines: readonly Line[];
  /** Times in s, then values per line. */
  data: (number | null)[][];
  tick(value: number): string;
  value(value: number): string;
  log?: boolean;
  /** Ends of the time axis in s; those of the data when absent. */
  span?: readonly [number, number];
  /** What the upper end of the axis is at least. */
  least?: number;
  /** Labels are at multiples of powers of two, as bytes are counted. */
  binary?: boolean;
  height?: number;
  /** Says the time only of what is pointed at. */
  compact?: boolean;
}

const HEIGHT = 200;

export function TimeChart(props: Props) {
  const { label, lines, data, tick, value, log = false, span, least = 1e-3, binary = false, height = HEIGHT, compact = false } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const width = useWidth(box);
  const { theme, zone, navigate } = useView();
  const ends = useRef(span);
  ends.current = span;
  const [at, setAt] = useState<number | null>(null);

  useEffect(() => {
    if (!box.current || width === 0) return undefined;
    const axis: uPlot.Axis = {
      stroke: colour("muted"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width,
        height,
        tzDate: (time) => uPlot.tzDate(new Date(time * 1e3), zoneName()),
        padding: [8, 20, 0, 0],
        cursor: { sync: { key: "time", setSeries: false }, points: { size: 6 }, drag: { x: true, y: false, dist: 5, setScale: false } },
        legend: { show: false },
        hooks: {
          setCursor: [(chart) => { setAt(chart.cursor.idx ?? null); }],
          // What is drawn over becomes the part of the time of the page; Back leads back.
          setSelect: [(chart) => {
            const { left, width: drawn } = chart.select;
            if (drawn < 5) return;
            const [fromMs, toMs] = [chart.posToVal(left, "x") * 1000, chart.posToVal(left + drawn, "x") * 1000].map(Math.round) as [number, number];
            chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (Number.isFinite(fromMs) && fromMs < toMs && chart.cursor.event?.type === "mouseup") navigate({ range: { fromMs, toMs } }, "push");
          }],
        },
        scales: {
          x: { time: true, range: (_plot, low, high) => (ends.current ? [...ends.current] : [low, high]) },
          y: log ? { distr: 3, range: logRange } : { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.08, least)] },
        },
        axes: [
          { ...axis, size: 26, space: labelSpace, values: (_plot, ticks, _axis, _space, step) => ticks.map((time) => axisTime(time * 1e9, step)) },
          {
            ...axis, size: 58, gap: 4, space: 28,
            ...(binary ? { incrs: binarySteps } : {}),
            ...(log ? { splits: (_plot, _axis, low, high) => logTicks(low, high, 5) } : {}),
            values: (_plot, ticks) => ticks.map((at) => (at === null ? "" : tick(at))),
          },
        ],
        series: [
          {},
          ...lines.map((line): uPlot.Series => ({
            label: line.label,
            stroke: colour(line.colour),
            width: 1.5,
            points: { show: false },
            ...(line.fill ? { fill: colour(`${line.colour}-fill`) } : {}),
          })),
        ],
      },
      data as uPlot.AlignedData,
      box.current,
    );
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
    // The data is kept up to date below.
  }, [width, theme, lines, log, least, binary, height, zone.name]);

  useEffect(() => { plot.current?.setData(data as uPlot.AlignedData); }, [data, span?.[0], span?.[1]]);

  const times = data[0] ?? [];
  const shown = at ?? times.length - 1;
  const time = times[shown];
  const length = (times[times.length - 1] ?? 0) - (times[0] ?? 0);
  return (
    <div>
      <div class="time-chart" ref={box} style={{ minHeight: `${height}px` }} role="img" aria-label={`${label}. ${summary(lines, data, value)}`} data-points={times.length} />
      <p class="readout values">
        {times.length > 0 && lines.map((line, index) => {
          const figure = data[index + 1]?.[shown];
          return (
            <span key={line.label}>
              <i style={{ background: `var(--${line.colour})` }} />
              {line.label} <b>{figure === null || figure === undefined ? "–" : value(figure)}</b>
            </span>
          );
        })}
        {time !== null && time !== undefined && (at !== null || !compact) && (
          <span>{moment(time * 1e9, length * 1e9)}{at === null && ", latest"}</span>
        )}
      </p>
    </div>
  );
}

/** Labels without seconds are short. */
function labelSpace(_plot: uPlot, _axis: number, low: number, high: number): number {
  return high - low >= 240 ? 46 : 68;
}

const binarySteps = Array.from({ length: 48 }, (_, power) => 2 ** power);

/** Whole powers of ten around the data leave most of the plot empty; 1-2-5 steps do not. */
function logRange(_plot: uPlot, low: number, high: number): uPlot.Range.MinMax {
  if (!(low > 0) || !(high > 0)) return [1e3, 1e6];
  return [snap(low * 0.9, Math.floor), snap(high * 1.1, Math.ceil)];
}

function snap(value: number, round: (value: number) => number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digits = value / power;
  const steps = [1, 2, 5, 10];
  const step = round === Math.floor
    ? [...steps].reverse().find((each) => each <= digits)
    : steps.find((each) => each >= digits);
  return (step ?? 1) * power;
}

function summary(lines: readonly Line[], data: (number | null)[][], value: (value: number) => string): string {
  return lines
    .map((line, index) => {
      const last = data[index + 1]?.findLast((at) => at !== null);
      return last === undefined || last === null ? "" : `${line.label} now ${value(last)}.`;
    })
    .join(" ");
}
