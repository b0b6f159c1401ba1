// What every view needs to know, passed by context.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { FunctionRow, Overview } from "./api";
import type { Navigate, Theme } from "./hooks";
import type { Route } from "./logic/route";
import { callParams } from "./logic/selection";

export interface View {
  overview: Overview;
  route: Route;
  navigate: Navigate;
  theme: Theme;
  /** Parameters of the window that is shown. */
  window: Record<string, string>;
  /** Grows with every refresh. */
  version: number;
  /** The functions of the window; null until the first answer. */
  functions: FunctionRow[] | null;
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
