// The timeline of one call, on a canvas that the keyboard can walk.
import { useEffect, useRef } from "preact/hooks";
import { colour, useCanvas, useWidth, type Theme } from "../hooks";
import { looks } from "../logic/activity";
import { hash } from "../logic/flame";
import { durationTick } from "../logic/format";
import { nextItem, panned, rulerTicks, shown, zoomed, type Direction, type Item, type Range, type Timeline } from "../logic/story";

const LEFT = 58;
const RIGHT = 12;
const RULER = 22;
const ROW = 20;
const GAP = 8;
const LANE = 34;
const FONT = "11.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

interface Props {
  line: Timeline;
  range: Range;
  setRange(range: Range): void;
  focused: number | null;
  pointed: number | null;
  focus(index: number | null): void;
  point(index: number | null): void;
  open(index: number): void;
  theme: Theme;
}

export function Waterfall({ line, range, setRange, focused, pointed, focus, point, open, theme }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const inner = Math.max(width - LEFT - RIGHT, 1);
  const { items, lanes, length } = line;
  const calls = lanes.length - 2;
  const height = RULER + calls * ROW + 2 * (GAP + LANE) + 4;
  const wide = Math.max(range.to - range.from, 1);
  const x = (ns: number): number => LEFT + ((ns - range.from) / wide) * inner;
  const top = (lane: number): number => (
    lane < calls ? RULER + lane * ROW : RULER + calls * ROW + GAP + (lane - calls) * (LANE + GAP)
  );
  const tall = (lane: number): number => (lane < calls ? ROW - 2 : LANE);

  /** Left edge and width in pixels, cut to what is shown; null outside. */
  const place = (item: Item): [number, number] | null => {
    if (item.from > range.to || item.to < range.from) return null;
    const left = Math.max(x(item.from), LEFT);
    const right = Math.min(x(item.to), LEFT + inner);
    return item.point ? [left - 1, 2] : [left, Math.max(right - left, 1.5)];
  };

  useCanvas(canvas, width, height, (context) => {
    const dark = theme === "dark";
    const [muted, text, grid, border] = ["muted", "text", "grid", "border"].map(colour) as [string, string, string, string];
    context.textBaseline = "middle";
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const tick of rulerTicks(range, Math.max(Math.floor(inner / 110), 2))) {
      const at = Math.round(x(tick)) + 0.5;
      context.strokeStyle = grid;
      context.beginPath();
      context.moveTo(at, RULER - 4);
      context.lineTo(at, height);
      context.stroke();
      context.fillStyle = muted;
      context.textAlign = at > width - 40 ? "right" : "center";
      context.fillText(tick === 0 ? "0" : `+${durationTick(tick)}`, Math.min(at, width - 2), 8);
    }
    context.textAlign = "right";
    lanes.forEach((lane, index) => {
      context.fillStyle = muted;
      if (lane.label) context.fillText(lane.label, LEFT - 8, top(index) + tall(index) / 2);
      if (index < calls) return;
      context.strokeStyle = border;
      context.strokeRect(LEFT - 0.5, top(index) - 0.5, inner + 1, LANE + 1);
    });
    context.textAlign = "left";
    context.font = FONT;
    items.forEach((item) => {
      const spot = place(item);
      if (!spot) return;
      const [left, across] = spot;
      const [y, high] = [top(item.lane), tall(item.lane)];
      context.fillStyle = item.kind === "call" ? callColour(item.label, dark) : looks[item.kind].colour;
      // A gap, so that neighbours stay two.
      context.fillRect(left, y, item.point || across < 4 ? across : across - 1, high);
      if (!item.point && item.runnableFrom < item.to && item.kind !== "call") {
        const from = Math.max(x(item.runnableFrom), left);
        context.fillStyle = looks.runnable.colour;
        context.fillRect(from, y, Math.max(left + across - from, 0), high);
      }
      if (!item.point && across > 34) {
        context.fillStyle = item.kind === "call" && dark ? "#f4efe8" : "#0e1519";
        const letters = Math.floor((across - 8) / context.measureText("m").width);
        const name = item.label.length > letters ? `…${item.label.slice(item.label.length - letters + 1)}` : item.label;
        if (letters > 2) context.fillText(name, left + 4, y + high / 2 + 0.5);
      }
    });
    for (const [index, thick] of [[pointed, 1], [focused, 2]] as const) {
      const item = index === null ? undefined : items[index];
      const spot = item && place(item);
      if (!item || !spot) continue;
      context.strokeStyle = text;
      context.lineWidth = thick;
      context.strokeRect(spot[0] - 0.5, top(item.lane) - 0.5, spot[1] + 1, tall(item.lane) + 1);
    }
  });

  const under = (event: MouseEvent): number | null => {
    const area = canvas.current?.getBoundingClientRect();
    if (!area) return null;
    const [left, y] = [event.clientX - area.left, event.clientY - area.top];
    let best: number | null = null;
    let nearest = 4;
    items.forEach((item, index) => {
      if (y < top(item.lane) || y >= top(item.lane) + tall(item.lane)) return;
      const spot = place(item);
      if (!spot) return;
      const away = Math.max(spot[0] - left, left - spot[0] - spot[1], 0);
      // The later of two that overlap lies above.
      if (away <= nearest) [best, nearest] = [index, away];
    });
    return best;
  };
  const key = (event: KeyboardEvent): void => {
    const directions: Record<string, Direction> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
    const direction = directions[event.key];
    const item = focused === null ? undefined : items[focused];
    const middle = item ? Math.min(Math.max((item.from + item.to) / 2, range.from), range.to) : (range.from + range.to) / 2;
    if (direction && event.shiftKey) {
      if (direction === "up" || direction === "down") return;
      setRange(panned(range, direction === "left" ? -0.25 : 0.25, length));
    } else if (direction) {
      const to = focused === null ? 0 : nextItem(items, focused, direction);
      focus(to);
      const target = items[to];
      if (target) setRange(shown(range, target, length));
    } else if (event.key === "Enter" && focused !== null) {
      open(focused);
    } else if (event.key === "+" || event.key === "=") {
      setRange(zoomed(range, middle, 0.5, length));
    } else if (event.key === "-") {
      setRange(zoomed(range, middle, 2, length));
    } else if (event.key === "Home" || (event.key === "Escape" && wide < length)) {
      setRange({ from: 0, to: length });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  // Not as a property: such listeners are passive, and the page must not scroll.
  const wheel = useRef<(event: WheelEvent) => void>(() => undefined);
  wheel.current = (event) => {
    const area = canvas.current?.getBoundingClientRect();
    if (!area || !(event.ctrlKey || event.shiftKey)) return;
    event.preventDefault();
    const at = range.from + ((event.clientX - area.left - LEFT) / inner) * wide;
    const move = event.deltaY || event.deltaX;
    setRange(event.ctrlKey ? zoomed(range, at, 1.0015 ** move, length) : panned(range, move / 1000, length));
  };
  useEffect(() => {
    const target = canvas.current;
    const turned = (event: WheelEvent): void => { wheel.current(event); };
    target?.addEventListener("wheel", turned, { passive: false });
    return () => { target?.removeEventListener("wheel", turned); };
  }, []);

  const at = focused === null ? undefined : items[focused];
  return (
    <div class="chart waterfall" ref={box}>
      <canvas
        ref={canvas} tabIndex={0} role="application" style={{ width: `${width}px`, height: `${height}px` }}
        aria-label={`Timeline of the call${at ? `, at ${at.label}` : ""}. Arrow keys move between calls and samples, Enter shows the stack, plus and minus zoom, Escape shows all.`}
        data-items={items.length} data-focus={focused ?? ""} data-zoomed={wide < length}
        onPointerMove={(event) => { point(under(event)); }} onPointerLeave={() => { point(null); }}
        onClick={(event) => {
          const index = under(event);
          focus(index);
          if (index !== null) open(index);
        }}
        onDblClick={(event) => {
          const item = items[under(event) ?? -1];
          if (item && item.to > item.from) setRange(zoomed({ from: item.from, to: item.to }, (item.from + item.to) / 2, 1.08, length));
        }}
        onKeyDown={key}
      />
    </div>
  );
}

function callColour(name: string, dark: boolean): string {
  const vary = hash(name);
  return dark ? `hsl(${190 + vary * 40} 34% ${30 + vary * 8}%)` : `hsl(${190 + vary * 40} 46% ${74 + vary * 8}%)`;
}
