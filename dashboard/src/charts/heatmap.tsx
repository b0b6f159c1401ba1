// Latency over time as a heatmap: columns of time, rows of latency.
import { useMemo, useRef, useState } from "preact/hooks";
import { address, type Heatmap as HeatmapData } from "../api";
import { useView } from "../context";
import { colour, useAnswer, useCanvas, useWidth } from "../hooks";
import { axisTime, count, duration, durationTick, moment } from "../logic/format";
import { rangeText } from "../logic/range";
import { heatColour, strength } from "../logic/heat";
import { areaOf, callsIn, callsText, describe, everything, isEverything, placeOf, selectionOf, type Area, type Cell } from "../logic/selection";
import { logTicks, timeTicks } from "../logic/ticks";
import { Empty, Panel } from "../view/panel";

const HEIGHT = 200;
const MARGIN = { top: 6, right: 20, bottom: 24, left: 58 };
const MOST_COLUMNS = 120;

export function HeatmapPanel({ id }: { id: number }) {
  const { range, window: params, version } = useView();
  const answer = useAnswer<HeatmapData>(
    address("heatmap", { function: id, columns: MOST_COLUMNS, ...params }), `${id} ${rangeText(range)}`, version,
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

/** A region while it is drawn: what it is drawn on stands still meanwhile. */
interface Brush {
  from: Cell;
  to: Cell;
  data: HeatmapData;
}

function Heatmap({ data: newest, most }: { data: HeatmapData | null; most: number }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const { theme, route, navigate } = useView();
  const [cell, setCell] = useState<Cell | null>(null);
  const [brush, setBrush] = useState<Brush | null>(null);
  const data = brush?.data ?? newest;
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
    const ticks = timeTicks(begin, begin + length, Math.max(Math.floor(inner.width / 90), 1));
    const step = ticks.length > 1 ? ((ticks[1] ?? 0) - (ticks[0] ?? 0)) / 1e9 : 1;
    for (const at of ticks) {
      const x = MARGIN.left + ((at - begin) / length) * inner.width;
      if (x > 26 && x < width - 26) context.fillText(axisTime(at, step), x, HEIGHT - 9);
    }
    context.strokeStyle = colour("border");
    context.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, inner.width + 1, inner.height + 1);
    const place = brush
      ? placeOfArea(areaOf(brush.from, brush.to))
      : placeOf(data, route.selection);
    if (place) {
      const [x, right] = [left(place.x[0]), left(place.x[1])];
      const [y, bottom] = [top(place.y[1] - 1), top(place.y[0] - 1)];
      context.fillStyle = colour("panel");
      context.globalAlpha = 0.6;
      context.beginPath();
      context.rect(MARGIN.left, MARGIN.top, inner.width, inner.height);
      context.rect(x, y, right - x, bottom - y);
      context.fill("evenodd");
      context.globalAlpha = 1;
      context.strokeStyle = colour("accent");
      context.lineWidth = 2;
      context.strokeRect(x, y, right - x, bottom - y);
    }
    if (cell && !brush) {
      context.strokeStyle = colour("text");
      context.lineWidth = 1.5;
      context.strokeRect(left(cell.column), top(cell.row), inner.width / columns, inner.height / rows);
    }
  });

  const under = (event: PointerEvent): Cell | null => {
    const area = canvas.current?.getBoundingClientRect();
    if (!area || columns === 0 || rows === 0) return null;
    return {
      column: Math.floor(((event.clientX - area.left - MARGIN.left) / inner.width) * columns),
      row: Math.floor((1 - (event.clientY - area.top - MARGIN.top) / inner.height) * rows),
    };
  };
  const clamped = ({ column, row }: Cell): Cell => ({
    column: Math.min(Math.max(column, 0), columns - 1), row: Math.min(Math.max(row, 0), rows - 1),
  });
  const select = ({ data: drawn, from, to }: Brush): void => {
    const area = areaOf(from, to);
    // A click beside the calls takes the selection away.
    navigate({ selection: callsIn(drawn, area) === 0 ? everything : selectionOf(drawn, area) });
  };
  const press = (event: PointerEvent): void => {
    const at = under(event);
    if (!at || !data || event.button !== 0) return;
    const start = clamped(at);
    if (start.column !== at.column || start.row !== at.row) return;
    canvas.current?.setPointerCapture(event.pointerId);
    setBrush({ from: start, to: start, data });
  };
  const point = (event: PointerEvent): void => {
    const at = under(event);
    if (!at) return;
    const near = clamped(at);
    if (brush && event.buttons > 0) setBrush({ ...brush, to: near });
    setCell(near.column === at.column && near.row === at.row ? near : null);
  };
  const release = (): void => {
    if (!brush) return;
    select(brush);
    setBrush(null);
  };
  const key = (event: KeyboardEvent): void => {
    if (columns === 0 || rows === 0 || !data) return;
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (by) {
      const from = brush?.to ?? cell ?? { column: columns - 1, row: Math.floor(rows / 2) };
      const to = clamped({ column: from.column + (by[0] ?? 0), row: from.row + (by[1] ?? 0) });
      setBrush(event.shiftKey ? { from: brush?.from ?? from, to, data } : null);
      setCell(to);
    } else if (event.key === "Enter" && (brush ?? cell)) {
      select(brush ?? { from: cell as Cell, to: cell as Cell, data });
      setBrush(null);
    } else if (event.key === "Escape" && brush) {
      setBrush(null);
    } else {
      return;
    }
    event.preventDefault();
  };
  const leave = (): void => {
    setCell(null);
    setBrush(null);
  };
  return (
    <div class="chart" ref={box} style={{ minHeight: `${HEIGHT + 22}px` }}>
      <canvas
        ref={canvas} class="brush" style={{ width: `${width}px`, height: `${HEIGHT}px` }} tabIndex={0} role="application"
        aria-label="Latency over time: darker or brighter cells hold more calls. Arrow keys read the cells; with Shift they select a region, which Enter takes."
        aria-busy={columns === 0} data-columns={columns} data-rows={rows} data-selected={isEverything(route.selection) ? undefined : describe(route.selection)}
        onPointerDown={press} onPointerMove={point} onPointerUp={release} onPointerCancel={leave}
        onPointerLeave={() => { setCell(null); }} onKeyDown={key} onBlur={leave}
      />
      <p class="readout" role="status">{readout(data, cell, brush, edge)}</p>
    </div>
  );
}

/** In columns and rows from the lower left corner. */
function placeOfArea(area: Area): { x: [number, number]; y: [number, number] } {
  return { x: [area.left, area.right + 1], y: [area.bottom, area.top + 1] };
}

function readout(data: HeatmapData | null, cell: Cell | null, brush: Brush | null, edge: (row: number) => number): string {
  if (brush) {
    const area = areaOf(brush.from, brush.to);
    return `${describe(selectionOf(brush.data, area))}: ${callsText(callsIn(brush.data, area))}`;
  }
  if (!data) return "Loading…";
  if (!cell) return "Drag to select a region. Point at a cell, or use the arrow keys, to read it.";
  return `${moment(data.times_ns[cell.column] ?? 0, data.times_ns.length * data.step_ns)}, ${duration(edge(cell.row))} to ${duration(edge(cell.row + 1))}: `
    + callsText(data.counts[cell.column]?.[cell.row] ?? 0);
}
