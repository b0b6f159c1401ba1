// The page's state that a link can carry, in the hash: `#/fn/3?window=60&weight=calls`.
import { everything, formatSelection, parseSelection, type Selection } from "./selection";
import { defaultSort, type Column, type Sort } from "./table";

export const weights = ["wall", "calls", "time", "cpu", "offcpu"] as const;
/** What stacks are weighed by. */
export type Weight = (typeof weights)[number];
export const roots = ["callers", "function"] as const;
/** Where stacks begin: at the outermost caller, or at the function. */
export type Root = (typeof roots)[number];
/** Seconds shown, or everything. */
export type Span = 10 | 60 | 300 | "all";

export const spans: readonly Span[] = [10, 60, 300, "all"];

export interface Route {
  /** Opened function, or the overview. */
  fn: number | null;
  span: Span;
  weight: Weight;
  sort: Sort;
  /** Filter of the table. */
  filter: string;
  /** Search in the flame graph. */
  search: string;
  root: Root;
  /** Which calls of the function stacks and lists are about. */
  selection: Selection;
  /** Call whose story is open. */
  call: string | null;
}

/** What changes when another function is opened, or none: what is about one function goes. */
export function opened(fn: number | null): Partial<Route> {
  return { fn, search: "", root: home.root, selection: everything, call: null };
}

export const home: Route = {
  fn: null, span: "all", weight: "wall", sort: defaultSort, filter: "", search: "",
  root: "callers", selection: everything, call: null,
};

const columns: readonly Column[] = [
  "name", "calls", "rate", "p50", "p90", "p99", "max", "total", "self", "share", "unwound", "in_flight",
];

/** Reads a hash; whatever it does not understand is as if absent. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const params = new URLSearchParams(query);
  const fn = /^\/fn\/(\d{1,9})$/.exec(path);
  const span = params.get("window");
  const column = columns.find((name) => name === params.get("sort"));
  return {
    fn: fn ? Number(fn[1]) : null,
    span: spans.find((known) => String(known) === span) ?? home.span,
    weight: weights.find((known) => known === params.get("weight")) ?? home.weight,
    sort: column ? { column, descending: params.get("order") !== "asc" } : home.sort,
    filter: params.get("filter") ?? "",
    search: params.get("search") ?? "",
    root: (fn && roots.find((known) => known === params.get("root"))) || home.root,
    selection: fn ? parseSelection(params) : everything,
    call: /^\d{1,9}-\d{1,9}-\d{1,20}$/.test(params.get("call") ?? "") ? params.get("call") : null,
  };
}

/** The hash of a route, without what is as by default. */
export function format(route: Route): string {
  const params = new URLSearchParams();
  if (route.span !== home.span) params.set("window", String(route.span));
  if (route.weight !== home.weight) params.set("weight", route.weight);
  if (route.sort.column !== home.sort.column || route.sort.descending !== home.sort.descending) {
    params.set("sort", route.sort.column);
    if (!route.sort.descending) params.set("order", "asc");
  }
  if (route.filter) params.set("filter", route.filter);
  if (route.search) params.set("search", route.search);
  if (route.root !== home.root) params.set("root", route.root);
  formatSelection(params, route.selection);
  if (route.call !== null) params.set("call", route.call);
  const query = params.toString();
  return `#/${route.fn === null ? "" : `fn/${route.fn}`}${query ? `?${query}` : ""}`;
}
