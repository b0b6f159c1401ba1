// The frames of a flame graph, on a canvas that the keyboard can walk.
import { useMemo, useRef } from "preact/hooks";
import { colour, useCanvas, useWidth, type Theme } from "../hooks";
import { ancestors, hash, kindOf, moduleOf, pathOf, step, type FlameFrame, type FlameLayout, type Move } from "../logic/flame";

const ROW = 19;
/** Narrower frames are not drawn, in CSS pixels. */
const NARROWEST = 0.5;
/** Narrower frames have no text, in CSS pixels. */
const TEXT_FROM = 28;
const FONT = "11.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

interface Props {
  graph: FlameLayout;
  zoomed: number;
  focused: number | null;
  pointed: number | null;
  /** Frames that match the search; null without one. */
  hits: readonly boolean[] | null;
  /** Names of the traced functions. */
  traced: ReadonlySet<string>;
  /** Root at the bottom. */
  upwards: boolean;
  theme: Theme;
  zoom(path: string[]): void;
  focus(path: string[] | null): void;
  point(index: number | null): void;
  clearSearch(): void;
  /** Colours of the frames; by package without it. */
  tint?: (frame: FlameFrame) => string;
  label?: string;
}

export function FlameCanvas(props: Props) {
  const { graph, zoomed, focused, pointed, hits, traced, upwards, theme, zoom, focus, point, clearSearch, tint, label = "Flame graph" } = props;
  const { frames } = graph;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const above = ancestors(frames, zoomed);
  const view = frames[zoomed] ?? { start: 0, end: 1, depth: 0 };
  const scale = width / Math.max(view.end - view.start, Number.MIN_VALUE);
  // As high as what is drawn, and zooming in makes it only higher.
  const deepest = useMemo(() => {
    const visible = (from: number, to: number): number => {
      const least = (NARROWEST / Math.max(width, 1)) * (to - from);
      return frames.reduce((most, frame) => (
        frame.end - frame.start >= least && frame.start < to && frame.end > from ? Math.max(most, frame.depth) : most
      ), 0);
    };
    return Math.max(visible(0, 1), visible(view.start, view.end));
  }, [frames, width, view.start, view.end]);
  const height = (deepest + 1) * ROW;
  const topOf = (depth: number): number => (upwards ? height - (depth + 1) * ROW : depth * ROW);

  /** Left edge and width in pixels, or null outside of the zoomed frame. */
  const place = (frame: FlameFrame, index: number): [number, number] | null => {
    if (above.has(index)) return [0, width];
    if (frame.depth <= view.depth || frame.start >= view.end || frame.end <= view.start) return null;
    const wide = (frame.end - frame.start) * scale;
    return wide < NARROWEST ? null : [(frame.start - view.start) * scale, wide];
  };

  useCanvas(canvas, width, height, (context) => {
    const paint = palette(theme);
    context.font = FONT;
    context.textBaseline = "middle";
    frames.forEach((frame, index) => {
      const spot = place(frame, index);
      if (!spot) return;
      const [left, wide] = spot;
      const top = topOf(frame.depth);
      const dim = (above.has(index) && index !== zoomed) || (hits !== null && !hits[index]);
      const tinted = tint?.(frame);
      context.fillStyle = tinted ?? (hits?.[index] ? paint.match : paint.frame(frame, dim));
      // Of tinted frames the colour says something: what does not match pales instead.
      context.globalAlpha = tinted !== undefined && dim ? 0.4 : 1;
      const drawn = Math.max(wide - (wide > 3 ? 1 : 0), NARROWEST);
      context.fillRect(left, top, drawn, ROW - 1);
      context.globalAlpha = 1;
      if (tinted !== undefined && hits?.[index] && !hits[frame.parent] && drawn > 2) {
        context.strokeStyle = paint.outline;
        context.lineWidth = 1.5;
        context.strokeRect(left + 0.75, top + 0.75, drawn - 1.5, ROW - 2.5);
      }
      if (wide >= TEXT_FROM) {
        context.fillStyle = hits?.[index] && tinted === undefined ? paint.matchText : dim ? paint.dimText : paint.text;
        context.font = traced.has(frame.node.name) ? `600 ${FONT}` : FONT;
        context.fillText(fit(context, frame.node.name, wide - 9), left + 4, top + ROW / 2);
      }
    });
    for (const [index, thick] of [[pointed, 1], [focused, 2]] as const) {
      const frame = index === null ? undefined : frames[index];
      const spot = frame && index !== null ? place(frame, index) : null;
      if (!frame || !spot) continue;
      context.strokeStyle = paint.outline;
      context.lineWidth = thick;
      context.strokeRect(spot[0] + thick / 2, topOf(frame.depth) + thick / 2, Math.max(spot[1] - 1 - thick, 1), ROW - 1 - thick);
    }
  });

  const under = (event: MouseEvent): number | null => {
    const area = canvas.current?.getBoundingClientRect();
    if (!area) return null;
    const [x, y] = [event.clientX - area.left, event.clientY - area.top];
    const row = Math.floor(y / ROW);
    const depth = upwards ? deepest - row : row;
    const found = frames.findIndex((frame, index) => {
      if (frame.depth !== depth) return false;
      const spot = place(frame, index);
      return spot !== null && x >= spot[0] && x < spot[0] + spot[1];
    });
    return found < 0 ? null : found;
  };
  const click = (event: MouseEvent): void => {
    const index = under(event);
    if (index === null) return;
    focus(pathOf(frames, index));
    zoom(pathOf(frames, index));
  };
  const key = (event: KeyboardEvent): void => {
    const at = focused ?? zoomed;
    const moves: Record<string, Move> = {
      ArrowUp: upwards ? "callee" : "caller",
      ArrowDown: upwards ? "caller" : "callee",
      ArrowLeft: "left",
      ArrowRight: "right",
    };
    const move = moves[event.key];
    if (move) {
      const to = focused === null ? zoomed : step(frames, at, move);
      focus(pathOf(frames, to));
      const target = frames[to];
      // Out of the zoomed part: show it again.
      if (target && !above.has(to) && (target.start < view.start || target.end > view.end)) {
        zoom(pathOf(frames, target.parent));
      }
      scrollTo(box.current, topOf(target?.depth ?? 0));
    } else if (event.key === "Enter") {
      zoom(pathOf(frames, at));
    } else if (event.key === "Home") {
      focus([]);
      zoom([]);
    } else if (event.key === "Escape" && (zoomed > 0 || hits !== null)) {
      if (zoomed > 0) zoom([]);
      else clearSearch();
    } else {
      return;
    }
    event.preventDefault();
  };

  const name = frames[focused ?? zoomed]?.node.name ?? "";
  return (
    <div class="flame-box" ref={box}>
      <canvas
        ref={canvas} tabIndex={0} role="application" style={{ width: `${width}px`, height: `${height}px` }}
        aria-label={`${label}, at ${name}. Arrow keys move between frames, Enter zooms, Escape zooms out.`}
        data-frames={frames.length} data-zoom={frames[zoomed]?.node.name} data-focus={focused === null ? "" : name}
        onPointerMove={(event) => { point(under(event)); }} onPointerLeave={() => { point(null); }}
        onClick={click} onKeyDown={key}
      />
    </div>
  );
}

function scrollTo(box: HTMLElement | null, top: number): void {
  if (!box) return;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
}

/** As much of a name as fits: its end tells more than its beginning, so packages go first. */
function fit(context: CanvasRenderingContext2D, name: string, width: number): string {
  if (context.measureText(name).width <= width) return name;
  const tail = name.slice(moduleOf(name).length).replace(/^(::|\.)/, "");
  if (tail && tail !== name && context.measureText(tail).width <= width) return tail;
  const each = context.measureText("m").width;
  const letters = Math.floor(width / each) - 1;
  return letters < 2 ? "" : `${(tail || name).slice(0, letters)}…`;
}

interface Palette {
  frame(frame: FlameFrame, dim: boolean): string;
  text: string;
  dimText: string;
  match: string;
  matchText: string;
  outline: string;
}

/** Warm for code, by package; cool for the kernel; grey for the root. */
function palette(theme: Theme): Palette {
  const dark = theme === "dark";
  return {
    frame: (frame, dim) => {
      const kind = kindOf(frame);
      const vary = hash(frame.node.name);
      const hue = kind === "kernel" ? 215 : 10 + hash(moduleOf(frame.node.name)) * 34;
      const saturation = kind === "root" ? 0 : kind === "kernel" ? 26 : dark ? 40 : 66;
      const light = dark ? 33 + vary * 6 : 76 + vary * 6;
      return dim
        ? `hsl(${hue} ${saturation * 0.35}% ${dark ? light * 0.66 : light + 10}%)`
        : `hsl(${hue} ${saturation}% ${light}%)`;
    },
    text: dark ? "#f4efe8" : "#2a1d10",
    dimText: dark ? "#a9a49c" : "#6d6459",
    match: dark ? "#b79ae8" : "#6a3fc0",
    matchText: dark ? "#1c1230" : "#ffffff",
    outline: colour("text"),
  };
}
