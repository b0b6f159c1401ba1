// Keys that work anywhere on the page.
import { useEffect, useRef } from "preact/hooks";
import type { Navigate } from "./hooks";
import { presets } from "./logic/range";

interface Actions {
  togglePause(): void;
  toggleTheme(): void;
  openHelp(): void;
  /** Drops the selection, or else goes back to all functions. */
  escape(): void;
  navigate: Navigate;
}

/** Keys and what they do, for the help. */
export const shortcuts: readonly (readonly [string, string])[] = [
  ["Space", "pause or go on"],
  ["/", "filter what is listed, or search the flame graph"],
  ["1 to 9", "show the last 10 s, 1 min, 5 min, 15 min, 1 h, 6 h, 24 h, 7 d, or everything"],
  ["↑ ↓ Home End", "move in the function table"],
  ["Enter", "open the function, zoom to the frame, show the call's stack"],
  ["← → ↑ ↓", "move between frames, bars or cells of a focused chart"],
  ["Shift with arrows", "select a region of the latency heatmap; Enter takes it"],
  ["+ −", "zoom the timeline of a call"],
  ["Esc", "zoom out, clear the search or the selection, or go back to all functions"],
  ["t", "switch between light and dark"],
  ["?", "this help"],
];

/** Whether a key belongs to the element that has the focus. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement
    && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

function isPressable(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("button, a, summary, [role=button]") !== null;
}

/** Handles the keys while the component lives. */
export function useShortcuts(actions: Actions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const act = latest.current;
      const range = presets[Number(event.key) - 1];
      if (event.key === " " && !isPressable(event.target)) act.togglePause();
      else if (event.key === "/") document.querySelector<HTMLInputElement>("main input[type=search]")?.focus();
      else if (event.key === "?") act.openHelp();
      else if (event.key === "t") act.toggleTheme();
      else if (event.key === "Escape") act.escape();
      else if (range !== undefined) act.navigate({ range });
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => { window.removeEventListener("keydown", pressed); };
  }, []);
}
