// What several components need: answers that refresh, sizes, the route, the theme.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { ask } from "./api";
import { format, parse, type Route } from "./logic/route";

/** After a question monigo rests this many times as long as it took to answer: long recordings must not keep it busy. */
const REST = 3;

export interface Answer<T> {
  data: T | null;
  error: string | null;
  /** Nothing was answered yet. */
  waiting: boolean;
}

const nothing = { data: null, error: null, waiting: true };

/**
 * The answer to `url`, asked again whenever `url` or `version` changes, one request at a time. The
 * last answer stays while the next is awaited, unless `identity` (what the answer is about) changed.
 * `pause` is the shortest time between two requests in ms; slow answers are asked for more rarely. With a `body` (JSON)
 * it is asked by POST.
 */
export function useAnswer<T>(
  url: string | null, identity: string, version: number, pause = 0, body: string | null = null,
): Answer<T> {
  const [held, setHeld] = useState<Answer<T> & { identity: string }>({ ...nothing, identity });
  const latest = useRef({ url, identity, body });
  latest.current = { url, identity, body };
  const control = useRef<{ busy: AbortController | null; again: boolean; timer: number }>({
    busy: null, again: false, timer: 0,
  });

  const run = useCallback((): void => {
    const state = control.current;
    const { url: wanted, identity: about, body: sent } = latest.current;
    if (wanted === null) return;
    if (state.busy || state.timer) {
      state.again = true;
      return;
    }
    const abort = new AbortController();
    state.busy = abort;
    state.again = false;
    const begun = performance.now();
    const done = (next: Partial<Answer<T>>): void => {
      if (abort.signal.aborted) return;
      state.busy = null;
      const taken = performance.now() - begun;
      setHeld((old) => ({
        data: next.data ?? (old.identity === about ? old.data : null),
        error: next.error ?? null,
        waiting: false,
        identity: about,
      }));
      state.timer = window.setTimeout(() => {
        state.timer = 0;
        if (state.again) run();
      }, Math.max(pause - taken, taken * REST));
    };
    ask<T>(wanted, abort.signal, sent).then(
      (data) => { done({ data }); },
      (error: unknown) => { done({ error: error instanceof Error ? error.message : String(error) }); },
    );
  }, [pause]);

  const stop = useCallback((): void => {
    const state = control.current;
    state.busy?.abort();
    window.clearTimeout(state.timer);
    control.current = { busy: null, again: false, timer: 0 };
  }, []);

  // Another question does not wait for the answer to the last one.
  useLayoutEffect(() => stop, [identity, stop]);
  useEffect(run, [url, identity, version, body, run]);
  return held.identity === identity ? held : nothing;
}

/** `performance.now()` at the last multiple of `every` ms; renders again at each. */
export function useNow(every: number): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => { setNow(performance.now()); }, every);
    return () => { window.clearInterval(timer); };
  }, [every]);
  return now;
}

/** Width in CSS pixels of the element behind the reference; 0 until measured. */
export function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const target = element.current;
    if (!target) return undefined;
    setWidth(Math.floor(target.clientWidth));
    const observer = new ResizeObserver(() => { setWidth(Math.floor(target.clientWidth)); });
    observer.observe(target);
    return () => { observer.disconnect(); };
  }, [element]);
  return width;
}

export type Navigate = (change: Partial<Route>, how?: "push" | "replace") => void;

/** The route in the address bar, and a way to change it. */
export function useRoute(): [Route, Navigate] {
  const [route, setRoute] = useState(() => parse(location.hash));
  const current = useRef(route);
  current.current = route;
  useEffect(() => {
    const changed = (): void => { setRoute(parse(location.hash)); };
    window.addEventListener("hashchange", changed);
    window.addEventListener("popstate", changed);
    return () => {
      window.removeEventListener("hashchange", changed);
      window.removeEventListener("popstate", changed);
    };
  }, []);
  const navigate = useCallback<Navigate>((change, how = "replace") => {
    const next = { ...current.current, ...change };
    current.current = next;
    const hash = format(next);
    if (how === "push") history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
    setRoute(next);
  }, []);
  return [route, navigate];
}

export type Theme = "light" | "dark";

/** The theme in use: the user's choice, or the system's. */
export function useTheme(): [Theme, () => void] {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const read = (): Theme => {
    const chosen = document.documentElement.dataset["theme"];
    if (chosen === "light" || chosen === "dark") return chosen;
    return system.matches ? "dark" : "light";
  };
  const [theme, setTheme] = useState<Theme>(read);
  useEffect(() => {
    const changed = (): void => { setTheme(read()); };
    system.addEventListener("change", changed);
    return () => { system.removeEventListener("change", changed); };
  }, []);
  const toggle = (): void => {
    const next = read() === "dark" ? "light" : "dark";
    document.documentElement.dataset["theme"] = next;
    try {
      localStorage.setItem("monigo-theme", next);
    } catch {
      // Blocked storage: the choice lasts as long as the page.
    }
    setTheme(next);
  };
  return [theme, toggle];
}

/** Re-runs `draw` with a cleared canvas of `width` by `height` CSS pixels on every render. */
export function useCanvas(
  canvas: RefObject<HTMLCanvasElement | null>,
  width: number,
  height: number,
  draw: (context: CanvasRenderingContext2D) => void,
): void {
  useLayoutEffect(() => {
    const target = canvas.current;
    const context = target?.getContext("2d");
    if (!target || !context || width === 0) return;
    const scale = window.devicePixelRatio || 1;
    target.width = Math.round(width * scale);
    target.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context);
  });
}

/** A colour of the style sheet, by the name of its custom property. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
