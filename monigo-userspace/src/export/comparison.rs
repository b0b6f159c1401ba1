//! Two recordings side by side, for people and as CSV.

use super::{
    format::{duration_ns, estimate, rate},
    table::{aligned, grid, trimmed},
};
use crate::query::{Comparison, Figures, FunctionChange, PartSummary};

/// Functions by what changed, before and after in each cell.
pub fn comparison_table(comparison: &Comparison, width: Option<u16>) -> String {
    let mut text = format!(
        "before: {}\nafter:  {}\n\n",
        side(&comparison.before),
        side(&comparison.after)
    );
    let mut grid = grid(width);
    let header = [
        "function",
        "calls",
        "rate",
        "p50",
        "p99",
        "total",
        "time per second",
    ];
    grid.set_header(
        header
            .iter()
            .enumerate()
            .map(|(index, name)| aligned(name, index > 0)),
    );
    for change in &comparison.functions {
        let both = |shown: fn(&Figures) -> String| {
            let shown =
                |figures: &Option<Figures>| figures.as_ref().map_or_else(|| "–".to_owned(), shown);
            format!("{} → {}", shown(&change.before), shown(&change.after))
        };
        let cells = [
            change.name.clone(),
            both(|figures| estimate(figures.calls, figures.calls_error)),
            both(|figures| rate(figures.rate)),
            both(|figures| latency(figures, figures.p50_ns)),
            both(|figures| latency(figures, figures.p99_ns)),
            both(|figures| duration_ns(figures.total_ns)),
            ratio(change),
        ];
        grid.add_row(
            cells
                .iter()
                .enumerate()
                .map(|(index, cell)| aligned(cell, index > 0)),
        );
    }
    text.push_str(&trimmed(&grid));
    for note in &comparison.notes {
        text.push_str("note: ");
        text.push_str(note);
        text.push('\n');
    }
    text
}

fn side(part: &PartSummary) -> String {
    let from = jiff::Timestamp::from_nanosecond(part.from_ns.into());
    let from = from.map_or_else(|_| part.from_ns.to_string(), |from| format!("{from:.3}"));
    format!(
        "session {}, {}, {} from {from}",
        part.session,
        part.target,
        duration_ns(part.duration_ns)
    )
}

fn latency(figures: &Figures, ns: u64) -> String {
    if figures.calls == 0 {
        "–".to_owned()
    } else {
        super::format::measured_ns(ns, figures.floor_ns)
    }
}

/// Time per second of recording, after over before: `x 1.30`.
fn ratio(change: &FunctionChange) -> String {
    match (change.time_ratio(), change.before, change.after) {
        (Some(ratio), ..) => format!("x {ratio:.2}"),
        (None, None, Some(_)) => "new".to_owned(),
        (None, Some(_), None) => "gone".to_owned(),
        _ => "–".to_owned(),
    }
}

/// One line for each function.
pub fn comparison_csv(comparison: &Comparison) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = ["calls", "rate", "mean_ns", "p50_ns", "p99_ns", "total_ns"];
    let mut header = vec!["function".to_owned()];
    for when in ["before", "after"] {
        header.extend(columns.map(|column| format!("{when}_{column}")));
    }
    header.push("time_ratio".to_owned());
    // Writing to memory does not fail.
    let _ = writer.write_record(&header);
    for change in &comparison.functions {
        let mut record = vec![change.name.clone()];
        for figures in [change.before, change.after] {
            record.extend(figures.map_or_else(
                || vec![String::new(); columns.len()],
                |figures| {
                    vec![
                        figures.calls.to_string(),
                        format!("{:.3}", figures.rate),
                        figures.mean_ns.to_string(),
                        figures.p50_ns.to_string(),
                        figures.p99_ns.to_string(),
                        figures.total_ns.to_string(),
                    ]
                },
            ));
        }
        record.push(
            change
                .time_ratio()
                .map_or_else(String::new, |ratio| format!("{ratio:.4}")),
        );
        let _ = writer.write_record(&record);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_went_is_said() {
        let figures = |busy| Figures {
            calls: 10,
            busy,
            ..Figures::default()
        };
        let change = |before, after| FunctionChange {
            name: "f".to_owned(),
            before,
            after,
        };
        for (before, after, shown) in [
            (Some(figures(1.0)), Some(figures(1.3)), "x 1.30"),
            (None, Some(figures(1.0)), "new"),
            (Some(figures(1.0)), None, "gone"),
            (Some(figures(0.0)), Some(figures(1.0)), "–"),
        ] {
            assert_eq!(ratio(&change(before, after)), shown);
        }
    }
}
