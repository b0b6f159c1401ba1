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

/// The functions as CSV with a header; times in ns.
pub fn functions_csv(functions: &[FunctionRow]) -> String {
    let header = [
        "id",
        "name",
        "image",
        "file",
        "line",
        "calls",
        "unwound",
        "in_flight",
        "unmatched",
        "rate_per_s",
        "share",
        "min_ns",
        "mean_ns",
        "p50_ns",
        "p90_ns",
        "p99_ns",
        "p999_ns",
        "max_ns",
        "total_ns",
        "entry",
        "exit",
        "sites",
        "cost_class",
        "self_ns",
        "timed",
        "calls_error",
        "cost_ns",
        "floor_ns",
    ];
    let row = |row: &FunctionRow| {
        let latency = &row.latency_ns;
        vec![
            row.id.to_string(),
            row.name.clone(),
            row.image.clone(),
            row.file.clone().unwrap_or_default(),
            row.line.map(|line| line.to_string()).unwrap_or_default(),
            row.calls.to_string(),
            row.unwound.to_string(),
            row.in_flight.to_string(),
            row.unmatched.to_string(),
            format!("{:.3}", row.rate),
            format!("{:.6}", row.share),
            latency.min.to_string(),
            latency.mean.to_string(),
            latency.p50.to_string(),
            latency.p90.to_string(),
            latency.p99.to_string(),
            latency.p999.to_string(),
            latency.max.to_string(),
            latency.total.to_string(),
            row.probe.entry.clone(),
            exit_name(row.probe.exit).to_owned(),
            row.probe.sites.to_string(),
            cost_name(row.probe.cost_class).to_owned(),
            row.self_ns.map(|ns| ns.to_string()).unwrap_or_default(),
            row.timed.to_string(),
            row.calls_error.to_string(),
            row.probe.cost_ns.to_string(),
            row.probe.floor_ns.to_string(),
        ]
    };
    csv(&header.map(str::to_owned), functions.iter().map(row))
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
