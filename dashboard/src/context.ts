// What every view needs to know, passed by context.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { FunctionRow, Overview } from "./api";
import type { Answer } from "./hooks";
import type { Navigate, Theme } from "./hooks";
import type { Range } from "./logic/range";
import type { Route } from "./logic/route";
import { callParams } from "./logic/selection";
import type { Session } from "./logic/sessions";
import type { ServiceInfo } from "./service";
import type { ZoneChoice } from "./view/zone-choice";

export interface View {
  overview: Overview;
  route: Route;
  navigate: Navigate;
  theme: Theme;
  /** The part of the time that is shown. */
  range: Range;
  /** The same as Unix times in ms. */
  bounds: { fromMs: number; toMs: number };
  /** Parameters of the window that is shown. */
  window: Record<string, string>;
  /** Grows with every refresh. */
  clock: number;
  /** Grows with every refresh that can change what is known of the window. */
  version: number;
  /** The functions of the window; null until the first answer. */
  functions: FunctionRow[] | null;
  service: Answer<ServiceInfo>;
  /** All sessions, newest first; and which of them is shown. */
  sessions: readonly Session[];
  session: number | null;
  zone: ZoneChoice;
}

export const ViewContext = createContext<View | null>(null);

/** The surrounding view. */
export function useView(): View {
  const view = useContext(ViewContext);
  if (!view) throw new Error("used outside of a view");
  return view;
}

/** Parameters of a question about the selected calls of a function, or about all functions, and what tells selections apart. */
export function useSelected(id: number | null): { params: Record<string, string>; identity: string } {
  const { route, window: params } = useView();
  if (id === null) return { params, identity: "all" };
  return { params: callParams(params, route.selection), identity: `${id} ${JSON.stringify(route.selection)}` };
}
