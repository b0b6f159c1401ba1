//! Where the time of functions went, for people.

use super::{
    format::percent,
    table::{aligned, grid, trimmed},
};
use crate::query::{Breakdown, TimeParts, Wait};

/// Least share of its function's time for a part to be worth a column.
const WORTH_SHOWING: f64 = 0.0005;

/// Share of a part in the whole, 0 to 1.
fn share(part: u64, whole: u64) -> f64 {
    if whole > 0 {
        part as f64 / whole as f64
    } else {
        0.0
    }
}

/// The parts by name, in the order to show them: on CPU, what was waited for, and the rest.
pub fn named_parts(parts: &TimeParts) -> Vec<(&'static str, u64)> {
    let blocked = parts.blocked.iter().map(|(wait, ns)| (wait.name(), *ns));
    std::iter::once(("on CPU", parts.on_cpu))
        .chain(blocked)
        .chain([
            ("runnable", parts.runnable),
            ("unattributed", parts.unattributed),
        ])
        .collect()
}

/// A table of shares, one line a function, and another for its own code if it calls traced
/// functions; only columns that say something. Empty when nothing was sampled.
pub fn time_table(breakdowns: &[Breakdown], width: Option<u16>) -> String {
    let shown: Vec<&Breakdown> = breakdowns.iter().filter(|of| of.total.wall > 0).collect();
    if shown.is_empty() {
        return String::new();
    }
    let worth = |part: fn(&TimeParts) -> u64| {
        let mut parts = shown.iter().map(|of| &of.total);
        parts.any(|parts| share(part(parts), parts.wall) >= WORTH_SHOWING)
    };
    let waits = Wait::ALL.into_iter().filter(|wait| {
        let of = |parts: &TimeParts| parts.blocked.get(wait).copied().unwrap_or(0);
        let mut parts = shown.iter().map(|of| &of.total);
        parts.any(|parts| share(of(parts), parts.wall) >= WORTH_SHOWING)
    });
    let waits: Vec<Wait> = waits.collect();
    let runnable = worth(|parts| parts.runnable);
    let unattributed = worth(|parts| parts.unattributed);
    let mut header = vec!["where the time went", "on CPU"];
    header.extend(waits.iter().map(|wait| wait.name()));
    header.extend(runnable.then_some("runnable"));
    header.extend(unattributed.then_some("unattributed"));
    let line = |name: String, parts: &TimeParts| {
        let cell = |ns| percent(share(ns, parts.wall));
        let mut cells = vec![name, cell(parts.on_cpu)];
        let of = |wait| parts.blocked.get(wait).copied().unwrap_or(0);
        cells.extend(waits.iter().map(|wait| cell(of(wait))));
        cells.extend(runnable.then(|| cell(parts.runnable)));
        cells.extend(unattributed.then(|| cell(parts.unattributed)));
        cells
    };
    let mut grid = grid(width);
    let cells = |cells: Vec<String>| -> Vec<_> {
        let cells = cells.iter().enumerate();
        cells
            .map(|(index, text)| aligned(text, index > 0))
            .collect()
    };
    grid.set_header(cells(header.into_iter().map(str::to_owned).collect()));
    for of in shown {
        grid.add_row(cells(line(of.name.clone(), &of.total)));
        if of.own.wall > 0 && of.own.wall != of.total.wall {
            grid.add_row(cells(line("  without traced callees".to_owned(), &of.own)));
        }
    }
    format!("\n{}", trimmed(&grid))
}
