// The page's state that a link can carry, in the hash: `#/fn/3?window=60&weight=calls`.
import { defaultSort, type Column, type Sort } from "./table";

export const weights = ["wall", "calls", "cpu", "offcpu"] as const;
/** What stacks are weighed by. */
export type Weight = (typeof weights)[number];
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
}

export const home: Route = {
  fn: null, span: "all", weight: "wall", sort: defaultSort, filter: "", search: "",
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
  const query = params.toString();
  return `#/${route.fn === null ? "" : `fn/${route.fn}`}${query ? `?${query}` : ""}`;
}
