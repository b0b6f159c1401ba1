// The page's state that a link can carry, in the hash: `#/fn/3?window=60&weight=calls`.
import { parseRange, rangeText, type Range } from "./range";
import { everything, formatSelection, parseSelection, type Selection } from "./selection";
import { defaultSort, type Column, type Sort } from "./table";

export const pages = ["overview", "functions", "routines", "flame", "reports", "settings"] as const;
export type Page = (typeof pages)[number];

export const weights = ["wall", "calls", "time", "cpu", "offcpu"] as const;
/** What stacks are weighed by. */
export type Weight = (typeof weights)[number];
/** Of a function alone there are only its samples. */
const inside: readonly Weight[] = ["time", "cpu", "offcpu"];
export const roots = ["function", "callers"] as const;
/** Where stacks begin: at the function, or at its outermost caller. */
export type Root = (typeof roots)[number];

export const topics = [
  "LoadStatistics", "CPUStatistics", "MemoryStatistics", "MemoryProfile", "DiskIO", "NetworkIO", "CoreStatistics", "OverallHealth",
  "FunctionLatency",
] as const;
/** What a report is about. */
export type Topic = (typeof topics)[number];

export interface Route {
  page: Page;
  /** The function that a page is about; only of `functions` and `flame`. */
  fn: number | null;
  /** The part of the time; null for what suits the recording. */
  range: Range | null;
  weight: Weight;
  sort: Sort;
  /** Filter of the table on the page. */
  filter: string;
  /** Search in the flame graph. */
  search: string;
  root: Root;
  /** Which calls of the function stacks and lists are about. */
  selection: Selection;
  /** Call whose story is open. */
  call: string | null;
  topic: Topic;
  /** State of the goroutines or threads that are listed. */
  state: string | null;
  /** The session that was chosen; null to follow the latest. */
  session: number | null;
}

/** What changes when another function is opened, or none: what is about one function goes. */
export function opened(fn: number | null): Partial<Route> {
  return { page: "functions", fn, search: "", root: home.root, selection: everything, call: null };
}

/** What changes when another page is opened. The part of the time stays. */
export function turned(page: Page): Partial<Route> {
  return { ...opened(null), page, filter: "", state: null };
}

export const home: Route = {
  page: "overview", fn: null, range: null, weight: "wall", sort: defaultSort, filter: "", search: "",
  root: "function", selection: everything, call: null, topic: "LoadStatistics", state: null, session: null,
};

/** The weights of a flame graph, and the one of them that is shown. */
export function weighed({ fn, root, weight }: Pick<Route, "fn" | "root" | "weight">): { offered: readonly Weight[]; weight: Weight } {
  const offered = fn !== null && root === "function" ? inside : weights;
  return { offered, weight: offered.includes(weight) ? weight : "time" };
}

/** Where stacks begin when a link does not say: numbers of calls are only there with callers. */
function rootFor(weight: Weight): Root {
  return weight === "calls" ? "callers" : home.root;
}

const columns: readonly Column[] = [
  "name", "calls", "rate", "p50", "p90", "p99", "max", "total", "self", "share", "unwound", "in_flight",
];

/** Reads a path: pages by their name, `/fn/3`, `/flame/3`. */
function parsePath(path: string): Pick<Route, "page" | "fn"> {
  const fn = /^\/(fn|flame)\/(\d{1,9})$/.exec(path);
  if (fn) return { page: fn[1] === "flame" ? "flame" : "functions", fn: Number(fn[2]) };
  return { page: pages.find((page) => `/${page}` === path) ?? home.page, fn: null };
}

function formatPath({ page, fn }: Route): string {
  if (fn !== null) return `#/${page === "flame" ? "flame" : "fn"}/${fn}`;
  return page === home.page ? "#/" : `#/${page}`;
}

/** Reads a hash; whatever it does not understand is as if absent. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const params = new URLSearchParams(query);
  const { page, fn } = parsePath(path);
  const column = columns.find((name) => name === params.get("sort"));
  const weight = weights.find((known) => known === params.get("weight")) ?? home.weight;
  return {
    page,
    fn,
    range: parseRange(params.get("window")),
    weight,
    sort: column ? { column, descending: params.get("order") !== "asc" } : home.sort,
    filter: params.get("filter") ?? "",
    search: params.get("search") ?? "",
    root: fn === null ? home.root : roots.find((known) => known === params.get("root")) ?? rootFor(weight),
    selection: fn !== null ? parseSelection(params) : everything,
    call: /^\d{1,9}-\d{1,9}-\d{1,20}$/.test(params.get("call") ?? "") ? params.get("call") : null,
    topic: topics.find((known) => known === params.get("topic")) ?? home.topic,
    state: params.get("state"),
    session: /^[1-9]\d{0,14}$/.test(params.get("session") ?? "") ? Number(params.get("session")) : null,
  };
}

/** The hash of a route, without what is as by default. */
export function format(route: Route): string {
  const params = new URLSearchParams();
  if (route.range !== null) params.set("window", rangeText(route.range));
  if (route.weight !== home.weight) params.set("weight", route.weight);
  if (route.sort.column !== home.sort.column || route.sort.descending !== home.sort.descending) {
    params.set("sort", route.sort.column);
    if (!route.sort.descending) params.set("order", "asc");
  }
  if (route.filter) params.set("filter", route.filter);
  if (route.search) params.set("search", route.search);
  if (route.fn !== null && route.root !== rootFor(route.weight)) params.set("root", route.root);
  formatSelection(params, route.selection);
  if (route.call !== null) params.set("call", route.call);
  if (route.topic !== home.topic) params.set("topic", route.topic);
  if (route.state !== null) params.set("state", route.state);
  if (route.session !== null) params.set("session", String(route.session));
  const query = params.toString();
  return `${formatPath(route)}${query ? `?${query}` : ""}`;
}
