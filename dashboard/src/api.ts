// The answers of monigo's API, and asking for them. Mirrors monigo-userspace/src/query.

export interface LiveStatus {
  text: string;
  /** What the probes cost the target now; empty when not known. */
  cost: string;
  ended: boolean;
}

export interface Overview {
  session: number;
  target: string;
  language: string;
  pids: number[];
  host: string;
  kernel: string;
  monigo_version: string;
  started_ns: number;
  ended_ns: number | null;
  last_flush_ns: number | null;
  flush_ns: number;
  recorded: number;
  losses: { cause: string; count: number }[];
  warnings: string[];
  sequence: number;
  status: LiveStatus;
}

export interface Latency {
  min: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  total: number;
}

export interface FunctionRow {
  id: number;
  name: string;
  image: string;
  file: string | null;
  line: number | null;
  calls: number;
  /** 0 when calls were counted, else half the width of the 95 % interval. */
  calls_error: number;
  /** Calls whose duration was measured. */
  timed: number;
  unwound: number;
  in_flight: number;
  unmatched: number;
  rate: number;
  share: number;
  latency_ns: Latency;
  self_ns: number | null;
  /** Time that the probes took from the target. */
  probes_ns: number;
  probe: {
    entry: string;
    exit: "ret" | "uretprobe";
    sites: number;
    cost_class: string;
    cost_ns: number;
    floor_ns: number;
    /** Its bodies, by address, if there are several. */
    instances?: Instance[];
  };
}

/** One of the bodies that count as one function. */
export interface Instance {
  name: string;
  linkage_name: string;
  address: string;
  file: string | null;
  line: number | null;
  sites: number;
  cost_class: string;
}

/** Parts of some time, ns; they add up to `wall`. */
export interface TimeParts {
  wall: number;
  on_cpu: number;
  /** Able to run, and waiting for a CPU. */
  runnable: number;
  /** By what was waited for. */
  blocked: Record<string, number>;
  unattributed: number;
}

/** Where the time of a function went. */
export interface Breakdown {
  function: number;
  name: string;
  /** Without traced callees. */
  own: TimeParts;
  total: TimeParts;
}

export interface Bucket {
  low_ns: number;
  high_ns: number;
  count: number;
}

export interface SeriesPoint {
  at_ns: number;
  step_ns: number;
  calls: number;
  unwound: number;
  p50: number;
  p99: number;
}

export interface Heatmap {
  times_ns: number[];
  step_ns: number;
  rows_ns: number[];
  top_ns: number;
  counts: number[][];
}

export interface Call {
  /** The name that its story takes; only in lists of calls. */
  key?: string;
  function: number;
  start_ns: number;
  duration_ns: number;
  pid: number;
  tid: number;
  goid: number | null;
  cpu: number;
  weight: number;
  stack: number | null;
}

export interface Frame {
  function: string;
  image: string;
  address: number;
  file: string | null;
  line: number | null;
  inlined: boolean;
  kernel: boolean;
}

export interface StackRow {
  id: number;
  weight: number;
  calls: number;
  mean_ns: number;
  frames: Frame[];
  truncated: boolean;
}

export interface FlameNode {
  name: string;
  detail: string;
  value: number;
  children: FlameNode[];
}

/** A node of the difference of two flame graphs. */
export interface DiffNode {
  name: string;
  detail: string;
  before: number;
  after: number;
  children: DiffNode[];
}

export type Activity = "running" | "waiting" | "runnable";

export interface CallGroup {
  recorded: number;
  calls: number;
  mean_ns: number;
  sampled_ns: number;
  samples: number;
}

/** Something that slow calls spend more time on than fast ones. */
export interface Cause {
  sentence: string;
  share: number;
  slow_ns: number;
  fast_ns: number;
  activity: Activity;
  wait: string | null;
  reason: string | null;
  function: string;
  callee: string | null;
  caller: string | null;
  waker: string | null;
  waker_function: string | null;
  samples: number;
  stack: number | null;
}

/** The difference between slow and fast calls of a function. */
export interface Tail {
  function: number;
  name: string;
  slower_than_ns: number;
  faster_than_ns: number;
  slow: CallGroup;
  fast: CallGroup;
  extra_ns: number;
  unattributed_ns: number;
  causes: Cause[];
  notes: string[];
  tree: DiffNode;
}

/** A function's figures in a part of a recording. */
export interface Figures {
  calls: number;
  calls_error: number;
  rate: number;
  mean_ns: number;
  p50_ns: number;
  p99_ns: number;
  total_ns: number;
  busy: number;
  floor_ns: number;
}

/** Two parts of recordings side by side. */
export interface Comparison {
  before: { session: number; target: string; from_ns: number; duration_ns: number };
  after: { session: number; target: string; from_ns: number; duration_ns: number };
  functions: { name: string; before: Figures | null; after: Figures | null }[];
  unit: "ns_per_call" | "ns_per_second" | "calls_per_kilosecond";
  tree: DiffNode;
  notes: string[];
}

export interface NestedCall {
  call: Call;
  function: string;
  from_ns: number;
  /** From entry to return, with what probes took. */
  span_ns: number;
  depth: number;
}

/** A sample inside a call; times are ns since its start. */
export interface StoryEvent {
  at_ns: number;
  duration_ns: number;
  weight_ns: number;
  runnable_ns: number;
  drawn: boolean;
  activity: Activity;
  wait: string | null;
  reason: string | null;
  waker: string | null;
  place: string;
  stack: number | null;
}

/** What happened during one recorded call. */
export interface Story {
  call: Call;
  function: string;
  /** From entry to return, with what probes took; everything lies within. */
  span_ns: number;
  nested: NestedCall[];
  events: StoryEvent[];
  sampled_ns: number;
  notes: string[];
}

/** A function that could be traced. */
export interface Found {
  name: string;
  calls_per_second: number;
  time_share: number | null;
  self_share: number | null;
  mean_ns: number | null;
  calls: number;
  basis: "measured" | "sampled" | "at-least" | "unfinished" | "count-only";
}

/** Where looking for functions stands. */
export interface Discovery {
  /** Whether this monigo records, so that more can be traced. */
  available: boolean;
  running: boolean;
  error: string | null;
  ranking: {
    stage: string;
    elapsed_ns: number;
    cost_ns: number;
    probed: number;
    functions: Found[];
  } | null;
  traced: Record<string, { state: string; message?: string }>;
}

/** The session that all questions are about; null for the only one. */
let session: number | null = null;

/** Sets which session all questions are about from now on. */
export function askAbout(chosen: number | null): void {
  session = chosen;
}

/** As part of an address, which holds no parameters yet. */
export function sessionQuery(): string {
  return session === null ? "" : `?session=${session}`;
}

/** Address of a question, relative to the page. */
export function address(path: string, params: Record<string, string | number | null | undefined> = {}): string {
  const query = new URLSearchParams(sessionQuery());
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return `api/v1/${path}${text ? `?${text}` : ""}`;
}

/** monigo does not know who asks. */
export class SignedOut extends Error {}

let signedOut: (why: string) => void = () => undefined;

/** Sets what is to be done when monigo does not know who asks (any more). */
export function whenSignedOut(react: (why: string) => void): void {
  signedOut = react;
}

async function fetched(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Error("monigo does not answer");
  }
  if (response.ok) return response;
  const message = messageOf(await response.json().catch(() => null));
  if (response.status === 401) {
    signedOut(message ?? "");
    throw new SignedOut(message ?? "monigo asks for a sign-in");
  }
  throw new Error(message ?? `monigo answered ${response.status}`);
}

/** Asks, by POST when there is a body (JSON), and gives the answer or throws an `Error` whose message is for people. */
export async function ask<T>(url: string, signal: AbortSignal, body: string | null = null): Promise<T> {
  const accept = { accept: "application/json" };
  const init: RequestInit = body === null
    ? { signal, headers: accept }
    : { signal, method: "POST", headers: { ...accept, "content-type": "application/json" }, body };
  const response = await fetched(url, init);
  hearClock(response.headers.get("date"));
  return (await response.json()) as T;
}

/** Asks for something to be done; throws an `Error` whose message is for people. */
export async function post(url: string, body: object): Promise<void> {
  const headers = { "content-type": "application/json", accept: "application/json" };
  await fetched(url, { method: "POST", headers, body: JSON.stringify(body) });
}

/** What the server's clock is ahead of the browser's, ms. The server tells whole seconds. */
let ahead = 0;

function hearClock(date: string | null): void {
  const server = Date.parse(date ?? "");
  if (!Number.isFinite(server)) return;
  const difference = server + 500 - Date.now();
  if (Math.abs(difference - ahead) > 1500) ahead = difference;
}

/** Unix time in ms by the server's clock. */
export function serverNow(): number {
  return Date.now() + ahead;
}

function messageOf(body: unknown): string | null {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  const { error } = body as { error: unknown };
  if (typeof error === "string") return "message" in body ? String(body.message) : error;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  return String(error.message);
}
