// Latency histogram: bars on a logarithmic axis, with the percentiles marked.
import { useMemo, useRef, useState } from "preact/hooks";
import { address, type Bucket, type FunctionRow } from "../api";
import { useView } from "../context";
import { useAnswer, useWidth } from "../hooks";
import { shownNs } from "../logic/figures";
import { count, duration, durationTick, percent } from "../logic/format";
import { rangeText } from "../logic/range";
import { bars, density, type Bar } from "../logic/histogram";
import { logTicks } from "../logic/ticks";
import { Empty, Panel } from "../view/panel";

const HEIGHT = 200;
const MARGIN = { top: 18, right: 8, bottom: 24, left: 12 };

export function HistogramPanel({ id, row }: { id: number; row: FunctionRow | null }) {
  const { range, window: params, version } = useView();
  const answer = useAnswer<Bucket[]>(address(`functions/${id}/histogram`, params), `${id} ${rangeText(range)}`, version);
  return (
    <Panel title="Latency distribution" note={`${row && row.timed < row.calls ? "calls timed in windows, scaled up" : "every call"}; a bar's area is its number of calls`} error={answer.error}>
      {answer.data && answer.data.length === 0
        ? <Empty>No call completed in this time window.</Empty>
        : <Histogram buckets={answer.data ?? []} row={row} />}
    </Panel>
  );
}

function Histogram({ buckets, row }: { buckets: readonly Bucket[]; row: FunctionRow | null }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [at, setAt] = useState<number | null>(null);
  const inner = Math.max(width - MARGIN.left - MARGIN.right, 1);
  const list = useMemo(() => bars(buckets, Math.max(Math.floor(inner / 5), 8)), [buckets, inner]);
  const first = list[0];
  const last = list[list.length - 1];
  const chosen = at === null ? null : list[Math.min(at, list.length - 1)] ?? null;

  // Half a power of two of air at least, so that a single bucket is not the whole width.
  const low = Math.max((first?.low ?? 1000) / 1.2, 1);
  const high = (last?.high ?? 1e6) * 1.2;
  const most = list.reduce((top, bar) => Math.max(top, density(bar)), 0);
  const x = (ns: number): number =>
    MARGIN.left + (Math.log(Math.max(ns, low) / low) / Math.log(high / low)) * inner;
  const y = (height: number): number =>
    MARGIN.top + (1 - height / most) * (HEIGHT - MARGIN.top - MARGIN.bottom);

  const point = (event: PointerEvent): void => {
    const left = event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
    const found = list.findIndex((bar) => left < x(bar.high));
    setAt(found < 0 ? list.length - 1 : found);
  };
  const move = (event: KeyboardEvent): void => {
    const to = { ArrowLeft: (at ?? 1) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: list.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    setAt(Math.min(Math.max(to, 0), list.length - 1));
  };
  const marks: readonly (readonly [string, number])[] = row && row.calls > 0
    ? [["p50", row.latency_ns.p50], ["p90", row.latency_ns.p90], ["p99", row.latency_ns.p99]]
    : [];

  return (
    <div class="chart" ref={box} style={{ minHeight: `${HEIGHT + 22}px` }}>
      {width > 0 && list.length > 0 && (
        <svg
          width={width} height={HEIGHT} tabIndex={0} role="img" aria-label={label(list, row)}
          onPointerMove={point} onPointerLeave={() => { setAt(null); }} onKeyDown={move}
          onBlur={() => { setAt(null); }} data-bars={list.length}
        >
          {list.map((bar, index) => {
            const [left, right] = [x(bar.low), x(bar.high)];
            const top = Math.min(y(density(bar)), HEIGHT - MARGIN.bottom - 1);
            return (
              <rect
                key={bar.low} class={bar === chosen ? "column chosen" : "column"} data-bar={index}
                x={left} y={top} width={Math.max(right - left - (right - left > 4 ? 1 : 0), 1)}
                height={HEIGHT - MARGIN.bottom - top}
              />
            );
          })}
          <line class="base" x1={MARGIN.left} x2={width - MARGIN.right} y1={HEIGHT - MARGIN.bottom} y2={HEIGHT - MARGIN.bottom} />
          {logTicks(low, high, Math.max(Math.floor(inner / 64), 2)).filter((tick) => x(tick) > 24 && x(tick) < width - 24).map((tick) => (
            <text key={tick} class="axis" x={x(tick)} y={HEIGHT - 8} text-anchor="middle">{durationTick(tick)}</text>
          ))}
          {spread(marks.map(([name, ns]) => ({ name, at: x(ns) }))).map(({ name, at: left, text }) => (
            <g key={name}>
              <line class="mark" x1={left} x2={left} y1={14} y2={HEIGHT - MARGIN.bottom} />
              <text class="mark" x={text} y={10} text-anchor="middle">{name}</text>
            </g>
          ))}
        </svg>
      )}
      <p class="readout" role="status">{chosen ? describe(chosen, list) : extent(list)}</p>
    </div>
  );
}

/** Pushes labels apart that would overlap. */
function spread(marks: { name: string; at: number }[]): { name: string; at: number; text: number }[] {
  let free = -Infinity;
  return marks.map((mark) => {
    const text = Math.max(mark.at, free);
    free = text + 26;
    return { ...mark, text };
  });
}

function extent(list: readonly Bar[]): string {
  const [first, last] = [list[0], list[list.length - 1]];
  return first && last ? `${count(last.upTo)} calls from ${duration(first.low)} to ${duration(last.high)}` : "\u00a0";
}

function describe(bar: Bar, list: readonly Bar[]): string {
  const total = list[list.length - 1]?.upTo ?? 1;
  return `${duration(bar.low)} to ${duration(bar.high)}: ${count(bar.count)} calls, `
    + `${percent(bar.count / total)}; ${percent(bar.upTo / total)} are at most this long`;
}

function label(list: readonly Bar[], row: FunctionRow | null): string {
  const [first, last] = [list[0], list[list.length - 1]];
  const middle = row ? `, median ${shownNs(row, row.latency_ns.p50)}, 99th percentile ${shownNs(row, row.latency_ns.p99)}` : "";
  return `Latency distribution from ${duration(first?.low ?? 0)} to ${duration(last?.high ?? 0)}${middle}. Arrow keys read the bars.`;
}
