// Sorting and filtering of the function table.
import type { FunctionRow } from "../api";

export type Column =
  | "name" | "calls" | "rate" | "p50" | "p90" | "p99" | "max" | "total" | "self" | "share" | "unwound" | "in_flight";

export interface Sort {
  column: Column;
  descending: boolean;
}

export const defaultSort: Sort = { column: "total", descending: true };

function key(row: FunctionRow, column: Column): number | string {
  switch (column) {
    case "name": return row.name.toLowerCase();
    case "p50": case "p90": case "p99": case "max": case "total": return row.latency_ns[column];
    case "self": return row.self_ns ?? -1;
    default: return row[column];
  }
}

/** Sorted copy; ties keep the order of function ids, so that live rows do not flicker. */
export function sorted(rows: readonly FunctionRow[], sort: Sort): FunctionRow[] {
  const sign = sort.descending ? -1 : 1;
  return [...rows].sort((left, right) => {
    const [a, b] = [key(left, sort.column), key(right, sort.column)];
    return a < b ? -sign : a > b ? sign : left.id - right.id;
  });
}

/** What a click on a column's header makes of the sort: names start ascending, numbers descending. */
export function toggled(sort: Sort, column: Column): Sort {
  if (sort.column === column) return { column, descending: !sort.descending };
  return { column, descending: column !== "name" };
}

/** Rows whose name or file contains every word of the filter. */
export function filtered(rows: readonly FunctionRow[], filter: string): FunctionRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => {
    const text = `${row.name} ${row.file ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
