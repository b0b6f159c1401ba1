//! What a discovery found, as a table for people and as CSV.

use std::fmt::Write as _;

use super::{
    format::{count, duration_ns, percent, rate},
    table::{aligned, grid},
};
use crate::discover::{Basis, Figures, Found, Ranking};

/// Reasons shown why functions were not probed.
const REASONS: usize = 6;

/// The `top` functions by time, and everything that qualifies the figures. `width` is the
/// terminal's, in columns; `None` for a pipe.
pub fn discovery_table(ranking: &Ranking, top: usize, width: Option<u16>) -> String {
    let mut text = String::new();
    if ranking.functions.is_empty() {
        let _ = writeln!(text, "no function was called");
    } else {
        let mut grid = grid(width);
        let header = ["function", "calls", "time", "self", "mean", "basis"];
        grid.set_header(
            header
                .iter()
                .enumerate()
                .map(|(i, h)| aligned(h, i > 0 && i < 5)),
        );
        for found in ranking.functions.iter().take(top) {
            let cells = cells(found);
            grid.add_row(
                cells
                    .iter()
                    .enumerate()
                    .map(|(i, c)| aligned(c, i > 0 && i < 5)),
            );
        }
        let _ = writeln!(text, "{grid}");
        let more = ranking.functions.len().saturating_sub(top);
        if more > 0 {
            let _ = writeln!(text, "and {} more with calls", count(more as u64));
        }
    }
    qualify(&mut text, ranking);
    text
}

fn cells(found: &Found) -> [String; 6] {
    let figures = &found.figures;
    let unknown = || "-".to_owned();
    let calls = rate(figures.calls_per_second);
    [
        found.name.clone(),
        if figures.basis == Basis::AtLeast {
            format!("> {calls}")
        } else {
            calls
        },
        figures.time_share.map_or_else(unknown, percent),
        figures.self_share.map_or_else(unknown, percent),
        figures
            .mean_ns
            .map_or_else(unknown, |ns| duration_ns(ns as u64)),
        basis(figures).to_owned(),
    ]
}

/// How good the figures are, in words.
pub fn basis(figures: &Figures) -> &'static str {
    match figures.basis {
        Basis::Measured => "measured",
        Basis::Sampled => "estimated",
        Basis::AtLeast => "estimated, too hot to count",
        Basis::Unfinished => "still running, at least",
        Basis::CountOnly => "calls estimated",
    }
}

fn qualify(text: &mut String, ranking: &Ranking) {
    let elapsed_s = ranking.elapsed_ns as f64 / 1e9;
    let _ = writeln!(
        text,
        "\n{} of {} functions were called in {elapsed_s:.1} s; time is a share of that, and more than 100% where threads \
         run a function at once. The probes took about {} of one CPU.",
        count(ranking.functions.len() as u64),
        count(ranking.probed as u64),
        percent(ranking.cost_ns as f64 / ranking.elapsed_ns.max(1) as f64),
    );
    let _ = writeln!(
        text,
        "Calls that began before, such as that of main, are not seen."
    );
    if ranking.runtime > 0 {
        let _ = writeln!(
            text,
            "{} functions of the language's runtime were left out; --runtime shows them.",
            count(ranking.runtime as u64)
        );
    }
    for note in &ranking.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if ranking.refused.is_empty() {
        return;
    }
    let all: usize = ranking
        .refused
        .iter()
        .map(|refused| refused.functions)
        .sum();
    let _ = writeln!(text, "{} functions cannot be probed:", count(all as u64));
    for refused in ranking.refused.iter().take(REASONS) {
        let _ = writeln!(
            text,
            "  {:>6}  {}",
            count(refused.functions as u64),
            refused.reason
        );
    }
    let rest: usize = ranking
        .refused
        .iter()
        .skip(REASONS)
        .map(|r| r.functions)
        .sum();
    if rest > 0 {
        let _ = writeln!(text, "  {:>6}  for other reasons", count(rest as u64));
    }
}

/// The same as CSV, with raw figures.
pub fn discovery_csv(ranking: &Ranking, top: usize) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "name",
        "calls_per_second",
        "time_share",
        "self_share",
        "mean_ns",
        "calls",
        "basis",
    ])?;
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for found in ranking.functions.iter().take(top) {
        let figures = &found.figures;
        writer.write_record([
            found.name.clone(),
            figures.calls_per_second.to_string(),
            number(figures.time_share),
            number(figures.self_share),
            number(figures.mean_ns),
            figures.calls.to_string(),
            basis(figures).to_owned(),
        ])?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::{Refused, Stage};

    fn ranking() -> Ranking {
        let found = |name: &str, basis, time_share| Found {
            name: name.to_owned(),
            figures: Figures {
                calls_per_second: 1234.5,
                time_share,
                self_share: time_share,
                mean_ns: time_share.map(|_| 810.0),
                calls: 99,
                basis,
            },
            cost_share: 0.1,
        };
        Ranking {
            stage: Stage::Done,
            elapsed_ns: 5_000_000_000,
            cost_ns: 100_000_000,
            probed: 40,
            runtime: 7,
            refused: vec![Refused {
                reason: "it is odd".to_owned(),
                functions: 3,
            }],
            functions: vec![
                found("slow", Basis::Measured, Some(1.5)),
                found("hot", Basis::AtLeast, None),
                found("third", Basis::Sampled, None),
            ],
            notes: vec!["the target ended".to_owned()],
        }
    }

    #[test]
    fn table_says_what_is_known_and_what_is_not() {
        let text = discovery_table(&ranking(), 2, None);
        for part in [
            "slow",
            "150%",
            "> 1,235/s",
            "and 1 more",
            "3 of 40",
            "2.0%",
            "it is odd",
            "the target ended",
            "7 functions of the language's runtime",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("third"), "{text}");
    }

    #[test]
    fn csv_has_a_row_for_each() {
        let text = discovery_csv(&ranking(), 10).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.contains("slow,1234.5,1.5,1.5,810,99,measured"),
            "{text}"
        );
    }
}
