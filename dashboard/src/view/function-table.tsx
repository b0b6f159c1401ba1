import { useMemo, useRef } from "preact/hooks";
import type { FunctionRow, Overview } from "../api";
import { useView } from "../context";
import { callsTracedFunctions, shownCalls, shownCallsShort, shownNs, shownRate, shownSelf, shownTotal } from "../logic/figures";
import { count, percent } from "../logic/format";
import type { Range } from "../logic/range";
import { format, opened } from "../logic/route";
import { filtered, sorted, toggled, type Column } from "../logic/table";
import { Empty, Name, Panel } from "./panel";

interface ColumnInfo {
  column: Column;
  title: string;
  hint: string;
  text(row: FunctionRow): string;
}

const latency = (pick: (row: FunctionRow) => number) => (row: FunctionRow): string => shownNs(row, pick(row));

const columns: readonly ColumnInfo[] = [
  { column: "calls", title: "Calls", hint: "Completed calls, exact unless marked ≈", text: shownCallsShort },
  { column: "rate", title: "Rate", hint: "Completed calls per second", text: (row) => shownRate(row) },
  { column: "p50", title: "p50", hint: "Median", text: latency((row) => row.latency_ns.p50) },
  { column: "p90", title: "p90", hint: "90th percentile", text: latency((row) => row.latency_ns.p90) },
  { column: "p99", title: "p99", hint: "99th percentile", text: latency((row) => row.latency_ns.p99) },
  { column: "max", title: "Max", hint: "Longest call", text: latency((row) => row.latency_ns.max) },
  { column: "total", title: "Total", hint: "Summed duration", text: shownTotal },
  { column: "self", title: "Self", hint: "Summed duration without time in other traced functions", text: shownSelf },
  { column: "share", title: "Share", hint: "Part of the summed duration of all functions", text: (row) => percent(row.share) },
  { column: "unwound", title: "Unwound", hint: "Ended by a panic, an exception or longjmp", text: (row) => count(row.unwound) },
  { column: "in_flight", title: "In flight", hint: "Begun and not yet ended", text: (row) => count(row.in_flight) },
];

export function FunctionTable() {
  const { overview, functions, route, range, navigate } = useView();
  const body = useRef<HTMLTableSectionElement>(null);
  const rows = useMemo(
    () => sorted(filtered(functions ?? [], route.filter), route.sort),
    [functions, route.filter, route.sort],
  );
  // Self time that is the total everywhere only takes space.
  const self = route.sort.column === "self" || (functions?.some(callsTracedFunctions) ?? false);
  const shown = useMemo(() => columns.filter(({ column }) => column !== "self" || self), [self]);
  const calls = functions?.reduce((sum, row) => sum + row.calls, 0) ?? 0;

  const move = (event: KeyboardEvent): void => {
    const links = [...(body.current?.querySelectorAll<HTMLAnchorElement>("a") ?? [])];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    const last = links.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    links[Math.min(Math.max(to, 0), last)]?.focus();
  };

  return (
    <Panel
      title="Functions"
      note={functions && `${functions.length} traced, ${functions.some((row) => row.calls_error > 0) ? "about " : ""}${count(calls)} calls`}
      tools={
        <input
          type="search" placeholder="Filter  /" aria-label="Filter functions" value={route.filter}
          onInput={(event) => { navigate({ filter: event.currentTarget.value }); }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown" || event.key === "Enter") {
              event.preventDefault();
              body.current?.querySelector("a")?.focus();
            } else if (event.key === "Escape") {
              event.preventDefault();
              navigate({ filter: "" });
              event.currentTarget.blur();
            }
          }}
        />
      }
    >
      <div class="scroll">
        <table class="functions">
          <thead>
            <tr>
              <Heading column="name" title="Function" hint="Demangled name" />
              {shown.map(({ column, title, hint }) => (
                <Heading key={column} column={column} title={title} hint={hint} />
              ))}
            </tr>
          </thead>
          <tbody ref={body} onKeyDown={move}>
            {rows.map((row) => <Row key={row.id} row={row} columns={shown} />)}
          </tbody>
        </table>
      </div>
      {functions && rows.length === 0 && route.filter && (
        <Empty>No function matches “{route.filter}”. <kbd>Esc</kbd> in the filter clears it.</Empty>
      )}
      {functions && calls === 0 && !route.filter && (
        <Empty>{whyEmpty(overview, range)}</Empty>
      )}
    </Panel>
  );
}

function whyEmpty(overview: Overview, range: Range): string {
  if (range !== "all") return "No call completed in this time window. A longer one may hold some.";
  if (overview.status.ended) {
    return overview.pids.length === 0
      ? "No process ran the target while this was recorded."
      : "None of these functions completed a call while this was recorded.";
  }
  return overview.pids.length === 0
    ? "Attached; no process runs the target yet. Calls appear here as soon as one does."
    : "Attached; no call yet. The functions above are probed, and their first call appears here.";
}

function Heading({ column, title, hint }: { column: Column; title: string; hint: string }) {
  const { route, navigate } = useView();
  const active = route.sort.column === column;
  const order = active ? (route.sort.descending ? "descending" : "ascending") : "none";
  return (
    <th scope="col" aria-sort={order} class={column === "name" ? "first" : undefined}>
      <button type="button" title={hint} onClick={() => { navigate({ sort: toggled(route.sort, column) }); }}>
        {title}
        <span class="order" aria-hidden="true">{active ? (route.sort.descending ? "▾" : "▴") : ""}</span>
      </button>
    </th>
  );
}

function Row({ row, columns }: { row: FunctionRow; columns: readonly ColumnInfo[] }) {
  const { route, navigate } = useView();
  const href = format({ ...route, ...opened(row.id) });
  const open = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    navigate(opened(row.id), "push");
  };
  return (
    <tr class={row.calls === 0 ? "quiet" : undefined} onClick={open} data-function={row.id}>
      <th scope="row" class="first"><a href={href} id={`function-${row.id}`}><Name>{row.name}</Name></a></th>
      {columns.map(({ column, text }) => (
        <td key={column} class={classes(row, column)} title={column === "calls" && row.calls_error > 0 ? shownCalls(row) : undefined}>
          {column === "share" && (
            <span class="bar" aria-hidden="true"><span style={{ width: `${row.share * 100}%` }} /></span>
          )}
          {text(row)}
        </td>
      ))}
    </tr>
  );
}

function classes(row: FunctionRow, column: Column): string {
  if (column === "unwound" && row.unwound > 0) return "unwound flagged";
  const zero = (column === "unwound" || column === "in_flight") && row[column] === 0;
  return zero ? `${column} muted` : column;
}
