//! The figures of a function as every view shows them: with what is not known left out, and what
//! is uncertain marked.

use super::format;
use crate::query::FunctionRow;

/// Shown where nothing is known.
const UNKNOWN: &str = "-";

impl FunctionRow {
    /// A duration of a single call, or one that stands for single calls: a percentile, the mean.
    pub fn shown_ns(&self, ns: u64) -> String {
        // Percentiles are zero where there was no room for a histogram.
        if self.timed == 0 || ns < self.latency_ns.min {
            return UNKNOWN.to_owned();
        }
        format::measured_ns(ns, self.probe.floor_ns)
    }

    /// Summed duration of the calls.
    pub fn shown_total(&self) -> String {
        self.shown_sum(self.latency_ns.total)
    }

    /// Summed duration without time in traced callees.
    pub fn shown_self(&self) -> String {
        self.self_ns
            .map_or_else(|| UNKNOWN.to_owned(), |ns| self.shown_sum(ns))
    }

    /// Completed calls.
    pub fn shown_calls(&self) -> String {
        format::estimate(self.calls, self.calls_error)
    }

    /// Completed calls, in narrow places.
    pub fn shown_calls_short(&self) -> String {
        format::short_estimate(self.calls, self.calls_error)
    }

    /// Completed calls per second.
    pub fn shown_rate(&self) -> String {
        if self.calls_error > 0 && self.rate >= 1000.0 {
            format!("≈{}/s", format::short_count(self.rate as u64))
        } else {
            format::rate(self.rate)
        }
    }

    fn shown_sum(&self, sum_ns: u64) -> String {
        if self.timed == 0 {
            return UNKNOWN.to_owned();
        }
        let text = format::summed_ns(sum_ns, self.calls, self.probe.floor_ns);
        let scaled_up = self.calls_error > 0 || self.timed < self.calls;
        if scaled_up && !text.starts_with('<') {
            format!("≈ {text}")
        } else {
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        query::{DuckSource, Latency, Source as _, Window},
        store::{Database, fixture},
    };

    #[test]
    fn what_is_uncertain_is_marked() {
        let mut database = Database::in_memory().expect("opens");
        fixture::record(&mut database);
        let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
        let rows = source.functions(Window::default()).expect("functions");
        let mut row = rows[0].clone();
        let figures = |row: &crate::query::FunctionRow| {
            [
                row.shown_calls(),
                row.shown_calls_short(),
                row.shown_ns(row.latency_ns.p50),
                row.shown_total(),
                row.shown_self(),
            ]
        };
        assert_eq!(
            figures(&row),
            ["1,001", "1,001", "504 µs", "550 ms", "550 ms"]
        );
        row.self_ns = Some(100_000);
        row.calls_error = 40;
        assert_eq!(
            figures(&row),
            ["≈ 1,000 ± 40", "≈1k", "504 µs", "≈ 550 ms", "< 150 µs"]
        );
        (row.calls_error, row.timed) = (0, 10);
        row.self_ns = None;
        assert_eq!(figures(&row), ["1,001", "1,001", "504 µs", "≈ 550 ms", "-"]);
        row.timed = 0;
        assert_eq!(figures(&row), ["1,001", "1,001", "-", "-", "-"]);
        row.timed = 1001;
        row.latency_ns = Latency {
            min: 7,
            total: 7007,
            ..Latency::default()
        };
        assert_eq!(
            figures(&row),
            ["1,001", "1,001", "-", "< 150 µs", "-"],
            "no histogram"
        );
        assert_eq!(row.shown_ns(9), "< 150 ns");
    }
}
