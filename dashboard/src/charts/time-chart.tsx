// A uPlot in the page's colours.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useView } from "../context";
import { colour, useWidth } from "../hooks";
import { clock } from "../logic/format";

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
}

const HEIGHT = 170;

export function TimeChart({ label, lines, data, tick, value, log = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const width = useWidth(box);
  const { theme } = useView();

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
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        cursor: { sync: { key: "time" }, points: { size: 6 }, drag: { setScale: false } },
        legend: { live: true },
        scales: {
          x: { time: true },
          y: log ? { distr: 3, range: logRange } : { range: (_plot, _low, high) => [0, Math.max(high, 1e-3) * 1.08] },
        },
        axes: [
          { ...axis, size: 26, space: 70, values: (_plot, ticks) => ticks.map((time) => clock(time * 1e9)) },
          { ...axis, size: 58, gap: 4, space: 28, values: (_plot, ticks) => ticks.map((at) => (at === null ? "" : tick(at))) },
        ],
        series: [
          { label: "Time", value: (_plot, time: number | null) => (time === null ? "–" : clock(time * 1e9)) },
          ...lines.map((line): uPlot.Series => ({
            label: line.label,
            stroke: colour(line.colour),
            width: 1.5,
            points: { show: false },
            ...(line.fill ? { fill: colour(`${line.colour}-fill`) } : {}),
            value: (_plot, at: number | null) => (at === null ? "–" : value(at)),
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
  }, [width, theme, lines, log]);

  useEffect(() => { plot.current?.setData(data as uPlot.AlignedData); }, [data]);

  return <div class="time-chart" ref={box} role="img" aria-label={`${label}. ${summary(lines, data, value)}`} />;
}

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
