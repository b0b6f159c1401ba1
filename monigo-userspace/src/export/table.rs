//! Tables for people, and CSV.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Grid, presets};
use serde_json::Value;

use super::{
    format::{count, duration_ns, percent},
    notes::notes,
    times::time_table,
};
use crate::{
    query::{Breakdown, FunctionRow, Overview, Table},
    store::{cost_name, exit_name},
};

/// A column that would only take space when it says nothing.
#[derive(Clone, Copy)]
struct Optional {
    name: &'static str,
    after_total: bool,
    shown: fn(&FunctionRow) -> bool,
    cell: fn(&FunctionRow) -> String,
}

const OPTIONAL: [Optional; 4] = [
    Optional {
        name: "self",
        after_total: true,
        shown: FunctionRow::calls_traced_functions,
        cell: FunctionRow::shown_self,
    },
    Optional {
        name: "unwound",
        after_total: false,
        shown: |row| row.unwound > 0,
        cell: |row| count(row.unwound),
    },
    Optional {
        name: "in flight",
        after_total: false,
        shown: |row| row.in_flight > 0,
        cell: |row| count(row.in_flight),
    },
    Optional {
        name: "unmatched",
        after_total: false,
        shown: |row| row.unmatched > 0,
        cell: |row| count(row.unmatched),
    },
];

/// The summary for people: functions by total time, then everything that qualifies the figures.
///
/// `width` is the terminal's, in columns; `None` for a pipe, where lines may be any length.
pub fn summary_table(
    overview: &Overview,
    functions: &[FunctionRow],
    breakdowns: &[Breakdown],
    width: Option<u16>,
) -> String {
    let mut text = heading(overview);
    let optional = OPTIONAL.map(|column| (column, functions.iter().any(column.shown)));
    let optional = optional.iter().filter(|(_, shown)| *shown);
    let after = |total: bool| {
        let side = move |(column, _): &&(Optional, bool)| column.after_total == total;
        optional.clone().filter(side).map(|(column, _)| column)
    };
    let mut header = vec![
        "function", "calls", "rate", "p50", "p90", "p99", "max", "total",
    ];
    header.extend(after(true).map(|column| column.name));
    header.push("share");
    header.extend(after(false).map(|column| column.name));
    let mut grid = grid(width);
    grid.set_header(
        header
            .iter()
            .enumerate()
            .map(|(index, name)| aligned(name, index > 0)),
    );
    for row in functions {
        let latency = &row.latency_ns;
        let mut cells = vec![
            row.name.clone(),
            row.shown_calls(),
            row.shown_rate(),
            row.shown_ns(latency.p50),
            row.shown_ns(latency.p90),
            row.shown_ns(latency.p99),
            row.shown_ns(latency.max),
            row.shown_total(),
        ];
        cells.extend(after(true).map(|column| (column.cell)(row)));
        cells.push(percent(row.share));
        cells.extend(after(false).map(|column| (column.cell)(row)));
        grid.add_row(
            cells
                .iter()
                .enumerate()
                .map(|(index, cell)| aligned(cell, index > 0)),
        );
    }
    text.push_str(&trimmed(&grid));
    text.push_str(&time_table(breakdowns, width));
    text.push_str(&notes(overview, functions));
    text
}

fn heading(overview: &Overview) -> String {
    let pids = match overview.pids.as_slice() {
        [] => "no process seen".to_owned(),
        [pid] => format!("pid {pid}"),
        [first, .., last] if overview.pids.len() > 8 => {
            format!("{} pids from {first} to {last}", overview.pids.len())
        }
        pids => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            format!("pids {}", pids.join(", "))
        }
    };
    format!(
        "{}, {pids}, {}\n\n",
        overview.target,
        duration_ns(overview.duration_ns())
    )
}

/// A result of free SQL for people.
pub fn sql_table(table: &Table, width: Option<u16>) -> String {
    if table.columns.is_empty() {
        return String::new();
    }
    let numeric: Vec<bool> = (0..table.columns.len())
        .map(|column| {
            let mut values = table.rows.iter().filter_map(|row| row.get(column));
            values.all(|value| value.is_number() || value.is_null())
        })
        .collect();
    let right = |index: usize| numeric.get(index).copied().unwrap_or(false);
    let mut grid = grid(width);
    let header = table.columns.iter().enumerate();
    grid.set_header(header.map(|(index, name)| aligned(name, right(index))));
    for row in &table.rows {
        let cells = row.iter().enumerate();
        grid.add_row(cells.map(|(index, value)| aligned(&plain(value), right(index))));
    }
    trimmed(&grid)
}

/// A result of free SQL as CSV with a header; NULL is empty.
pub fn sql_csv(table: &Table) -> String {
    let rows = table.rows.iter();
    let rows = rows.map(|row| {
        let text = |value: &Value| {
            if value.is_null() {
                String::new()
            } else {
                plain(value)
            }
        };
        row.iter().map(text).collect()
    });
    csv(&table.columns, rows)
}

/// What a column of functions holds; times in ns.
type FunctionColumn = (&'static str, fn(&FunctionRow) -> String);

const FUNCTION_COLUMNS: [FunctionColumn; 28] = [
    ("id", |row| row.id.to_string()),
    ("name", |row| row.name.clone()),
    ("image", |row| row.image.clone()),
    ("file", |row| row.file.clone().unwrap_or_default()),
    ("line", |row| {
        row.line.map(|line| line.to_string()).unwrap_or_default()
    }),
    ("calls", |row| row.calls.to_string()),
    ("unwound", |row| row.unwound.to_string()),
    ("in_flight", |row| row.in_flight.to_string()),
    ("unmatched", |row| row.unmatched.to_string()),
    ("rate_per_s", |row| format!("{:.3}", row.rate)),
    ("share", |row| format!("{:.6}", row.share)),
    ("min_ns", |row| row.latency_ns.min.to_string()),
    ("mean_ns", |row| row.latency_ns.mean.to_string()),
    ("p50_ns", |row| row.latency_ns.p50.to_string()),
    ("p90_ns", |row| row.latency_ns.p90.to_string()),
    ("p99_ns", |row| row.latency_ns.p99.to_string()),
    ("p999_ns", |row| row.latency_ns.p999.to_string()),
    ("max_ns", |row| row.latency_ns.max.to_string()),
    ("total_ns", |row| row.latency_ns.total.to_string()),
    ("entry", |row| row.probe.entry.clone()),
    ("exit", |row| exit_name(row.probe.exit).to_owned()),
    ("sites", |row| row.probe.sites.to_string()),
    ("cost_class", |row| {
        cost_name(row.probe.cost_class).to_owned()
    }),
    ("self_ns", |row| {
        row.self_ns.map(|ns| ns.to_string()).unwrap_or_default()
    }),
    ("timed", |row| row.timed.to_string()),
    ("calls_error", |row| row.calls_error.to_string()),
    ("cost_ns", |row| row.probe.cost_ns.to_string()),
    ("floor_ns", |row| row.probe.floor_ns.to_string()),
];

/// The functions as CSV with a header; times in ns.
pub fn functions_csv(functions: &[FunctionRow]) -> String {
    let header = FUNCTION_COLUMNS.map(|(name, _)| name.to_owned());
    let row = |row| FUNCTION_COLUMNS.map(|(_, cell)| cell(row)).to_vec();
    csv(&header, functions.iter().map(row))
}

fn csv(header: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail, and every row has the header's length.
    let _ = writer.write_record(header);
    for row in rows {
        let _ = writer.write_record(&row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn grid(width: Option<u16>) -> Grid {
    let mut grid = Grid::new();
    grid.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(comfy_table::LineStyle::none()));
    match width {
        Some(width) => {
            grid.set_width(width);
            grid.set_content_arrangement(ContentArrangement::Dynamic);
        }
        None => {
            grid.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    grid
}

pub(super) fn aligned(text: &str, right: bool) -> Cell {
    let alignment = if right {
        CellAlignment::Right
    } else {
        CellAlignment::Left
    };
    Cell::new(text).set_alignment(alignment)
}

/// The table's lines without the spaces that pad their ends.
pub(super) fn trimmed(grid: &Grid) -> String {
    let mut text = grid.trim_fmt();
    text.push('\n');
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}
