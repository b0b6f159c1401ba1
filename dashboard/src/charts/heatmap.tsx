// Latency over time as a heatmap: columns of time, rows of latency.
import { useMemo, useRef, useState } from "preact/hooks";
import { address, type Heatmap as HeatmapData } from "../api";
import { useView } from "../context";
import { colour, useAnswer, useCanvas, useWidth } from "../hooks";
import { clock, count, duration, durationTick } from "../logic/format";
import { heatColour, strength } from "../logic/heat";
import { logTicks } from "../logic/ticks";
import { timeTicks } from "../logic/ticks";
import { Empty, Panel } from "../view/panel";

const HEIGHT = 200;
const MARGIN = { top: 6, right: 20, bottom: 24, left: 58 };
const MOST_COLUMNS = 120;

export function HeatmapPanel({ id }: { id: number }) {
  const { route, window: params, version } = useView();
  const answer = useAnswer<HeatmapData>(
    address("heatmap", { function: id, columns: MOST_COLUMNS, ...params }), `${id} ${route.span}`, version,
  );
  const most = useMemo(() => Math.max(0, ...(answer.data?.counts.flat() ?? [])), [answer.data]);
  return (
    <Panel title="Latency heatmap" error={answer.error} tools={most > 0 && <Legend most={most} />}>
      {answer.data && most === 0
        ? <Empty>No call completed in this time window.</Empty>
        : <Heatmap data={answer.data} most={most} />}
    </Panel>
  );
}

function Legend({ most }: { most: number }) {
  const { theme } = useView();
  const stops = [0, 0.25, 0.5, 0.75, 1].map((at) => heatColour(at, theme === "dark"));
  return (
    <span class="legend muted">
      1 <span class="scale" style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} /> {count(most)} calls
    </span>
  );
}

interface Cell {
  column: number;
  row: number;
}

function Heatmap({ data, most }: { data: HeatmapData | null; most: number }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const { theme } = useView();
  const [cell, setCell] = useState<Cell | null>(null);
  const inner = { width: Math.max(width - MARGIN.left - MARGIN.right, 1), height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const [columns, rows] = [data?.times_ns.length ?? 0, data?.rows_ns.length ?? 0];
  const left = (column: number): number => MARGIN.left + (column / columns) * inner.width;
  const top = (row: number): number => MARGIN.top + (1 - (row + 1) / rows) * inner.height;
  const edge = (row: number): number => data?.rows_ns[row] ?? data?.top_ns ?? 0;

  useCanvas(canvas, width, HEIGHT, (context) => {
    if (!data || columns === 0 || rows === 0) return;
    const dark = theme === "dark";
    data.counts.forEach((counts, column) => {
      counts.forEach((calls, row) => {
        if (calls === 0) return;
        context.fillStyle = heatColour(strength(calls, most), dark);
        const [x, y] = [Math.round(left(column)), Math.round(top(row))];
        context.fillRect(x, y, Math.max(Math.round(left(column + 1)) - x, 1), Math.max(Math.round(top(row - 1)) - y, 1));
      });
    });
    context.fillStyle = colour("muted");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    const bottom = edge(0);
    for (const tick of logTicks(Math.max(bottom, 1), data.top_ns, 6)) {
      // Rows are equally high, whatever they span: place ticks inside their row.
      const row = data.rows_ns.findLastIndex((low) => low <= tick);
      const [low, high] = [edge(row), edge(row + 1)];
      const y = top(row) + (1 - (tick - low) / Math.max(high - low, 1)) * (inner.height / rows);
      context.fillText(durationTick(tick), MARGIN.left - 6, Math.max(y, 6));
    }
    context.textAlign = "center";
    const [begin, length] = [data.times_ns[0] ?? 0, columns * data.step_ns];
    for (const at of timeTicks(begin, begin + length, Math.max(Math.floor(inner.width / 90), 1))) {
      const x = MARGIN.left + ((at - begin) / length) * inner.width;
      if (x > 26 && x < width - 26) context.fillText(clock(at), x, HEIGHT - 9);
    }
    context.strokeStyle = colour("border");
    context.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, inner.width + 1, inner.height + 1);
    if (cell) {
      context.strokeStyle = colour("text");
      context.lineWidth = 1.5;
      context.strokeRect(left(cell.column), top(cell.row), inner.width / columns, inner.height / rows);
    }
  });

  const point = (event: PointerEvent): void => {
    const area = canvas.current?.getBoundingClientRect();
    if (!area || columns === 0) return;
    const column = Math.floor(((event.clientX - area.left - MARGIN.left) / inner.width) * columns);
    const row = Math.floor((1 - (event.clientY - area.top - MARGIN.top) / inner.height) * rows);
    const inside = column >= 0 && column < columns && row >= 0 && row < rows;
    setCell(inside ? { column, row } : null);
  };
  const move = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by || columns === 0) return;
    event.preventDefault();
    const from = cell ?? { column: columns - 1, row: Math.floor(rows / 2) };
    const clamp = (value: number, limit: number): number => Math.min(Math.max(value, 0), limit - 1);
    setCell({ column: clamp(from.column + (by[0] ?? 0), columns), row: clamp(from.row + (by[1] ?? 0), rows) });
  };
  const readout = cell && data
    ? `${clock(data.times_ns[cell.column] ?? 0)}, ${duration(edge(cell.row))} to ${duration(edge(cell.row + 1))}: `
      + `${count(data.counts[cell.column]?.[cell.row] ?? 0)} calls`
    : "Point at a cell, or focus the chart and use the arrow keys.";
  return (
    <div class="chart" ref={box} style={{ minHeight: `${HEIGHT + 22}px` }}>
      <canvas
        ref={canvas} style={{ width: `${width}px`, height: `${HEIGHT}px` }} tabIndex={0} role="img"
        aria-label="Latency over time: darker or brighter cells hold more calls. Arrow keys read the cells."
        data-columns={columns} onPointerMove={point} onPointerLeave={() => { setCell(null); }}
        onKeyDown={move} onBlur={() => { setCell(null); }}
      />
      <p class="readout" role="status">{readout}</p>
    </div>
  );
}
