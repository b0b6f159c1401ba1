//! Figures of the calls of a [`Selection`] with a range of durations, from those that were recorded.

use std::fmt::Write as _;

use duckdb::params;
use monigo_common::histogram::bucket_of;
use serde::{Deserialize, Serialize};

use super::{
    DuckSource, FunctionRow, Latency, QueryError, Selection, TimeParts,
    breakdown::parts_of,
    samples::{self, Chosen},
    select::Durations,
};
use crate::histogram::Histogram;

/// The recorded calls that a selection is about, as the database knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSpan {
    /// Session in the store.
    pub session: i64,
    /// Flushed after this, Unix time in ns.
    pub after_ns: i64,
    /// Flushed until this, Unix time in ns.
    pub upto_ns: i64,
    /// Of one function, or of all.
    pub function: Option<u32>,
    /// Calls that took at least this, ns.
    pub low_ns: u64,
    /// Calls that took less than this, ns.
    pub high_ns: u64,
}

impl CallSpan {
    fn durations(&self) -> Durations {
        Durations {
            low: self.low_ns,
            high: self.high_ns,
        }
    }

    /// Condition on rows of `calls`, all of whose columns are called as in the table `alias`.
    pub fn calls_condition(&self, alias: &str) -> String {
        let (low, high) = self.durations().signed();
        let mut text = self.rows_condition(alias);
        if self.durations() != Durations::ALL {
            let _ = write!(
                text,
                " AND {alias}.duration_ns >= {low} AND {alias}.duration_ns < {high}"
            );
        }
        text
    }

    /// Condition on rows of `samples`: they belong to these calls.
    pub fn samples_condition(&self, alias: &str) -> String {
        match self.function {
            Some(function) if self.durations() != Durations::ALL => format!(
                "{alias}.session_id = {} AND {alias}.rowid IN ({})",
                self.session,
                samples::rows_of_calls(self, function)
            ),
            _ => self.rows_condition(alias),
        }
    }

    fn rows_condition(&self, alias: &str) -> String {
        let mut text = format!("{alias}.session_id = {}", self.session);
        if self.after_ns != i64::MIN {
            let _ = write!(text, " AND {alias}.at_ns > {}", self.after_ns);
        }
        if self.upto_ns != i64::MAX {
            let _ = write!(text, " AND {alias}.at_ns <= {}", self.upto_ns);
        }
        if let Some(function) = self.function {
            let _ = write!(text, " AND {alias}.function_id = {function}");
        }
        text
    }

    /// As [`samples`] asks for them.
    pub(super) fn signed_durations(&self) -> (i64, i64) {
        self.durations().signed()
    }
}

/// What a selection is about, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// The recorded calls.
    pub calls: CallSpan,
    /// With a range of durations: the function, as if it had only been called like that.
    pub figures: Option<SelectedFigures>,
}

/// A function over calls of certain durations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectedFigures {
    /// Calls and latency are those of the recorded calls and what they stand for. Time in traced callees
    /// is not known, nor are calls that did not return.
    pub row: FunctionRow,
    /// Calls that were recorded.
    pub recorded: u64,
    /// Where the time went; `None` when nothing was sampled in them.
    pub time: Option<TimeParts>,
}

impl DuckSource {
    pub(super) fn selected_figures(&self, selection: &Selection) -> Result<Selected, QueryError> {
        let durations = self.durations(selection)?;
        let span = self.span(selection.window);
        let calls = CallSpan {
            session: span.session,
            after_ns: span.after_ns,
            upto_ns: span.upto_ns,
            function: selection.function,
            low_ns: durations.low,
            high_ns: durations.high,
        };
        let figures = match selection.function {
            Some(function) if selection.is_ranged() => {
                Some(self.figures_of(selection, function, durations)?)
            }
            _ => None,
        };
        Ok(Selected { calls, figures })
    }

    fn figures_of(
        &self,
        selection: &Selection,
        function: u32,
        durations: Durations,
    ) -> Result<SelectedFigures, QueryError> {
        let span = self.span(selection.window);
        let (low, high) = durations.signed();
        let mut sum = RecordedCalls::default();
        self.reader.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT duration_ns, weight FROM calls
                 WHERE session_id = ? AND at_ns > ? AND at_ns <= ? AND function_id = ?
                       AND duration_ns >= ? AND duration_ns < ?",
            )?;
            let mut rows = statement.query(params![
                span.session,
                span.after_ns,
                span.upto_ns,
                function as i32,
                low,
                high
            ])?;
            while let Some(row) = rows.next()? {
                sum.add(row.get(0)?, row.get(1)?);
            }
            Ok::<_, QueryError>(())
        })?;
        let chosen = Chosen {
            span,
            function,
            slow: durations,
            fast: None,
        };
        let samples = self
            .reader
            .with(|connection| samples::of_calls_once(connection, chosen))?;
        let rows = super::Source::functions(self, selection.window)?;
        let all_ns: u64 = rows.iter().map(|row| row.latency_ns.total).sum();
        let whole = rows.into_iter().find(|row| row.id == function);
        let whole = whole.ok_or(QueryError::UnknownFunction(function))?;
        let row = sum.row(whole, all_ns);
        let time = (!samples.is_empty()).then(|| parts_of(row.latency_ns.total, &samples));
        Ok(SelectedFigures {
            row,
            recorded: sum.recorded,
            time,
        })
    }
}

/// Sums over recorded calls.
#[derive(Debug, Default)]
struct RecordedCalls {
    recorded: u64,
    calls: u64,
    total_ns: f64,
    /// Of `calls`: each call with weight w was drawn with probability 1/w.
    variance: f64,
    extremes: Option<(u64, u64)>,
    histogram: Histogram,
}

impl RecordedCalls {
    fn add(&mut self, duration_ns: u64, weight: u32) {
        let (least, most) = self.extremes.unwrap_or((duration_ns, duration_ns));
        self.extremes = Some((least.min(duration_ns), most.max(duration_ns)));
        self.recorded += 1;
        self.calls += u64::from(weight);
        self.total_ns += f64::from(weight) * duration_ns as f64;
        self.variance += f64::from(weight) * f64::from(weight.saturating_sub(1));
        self.histogram
            .add(bucket_of(duration_ns) as u16, weight.into());
    }

    /// `whole` over these calls only; `all_ns` is the summed duration of all functions.
    fn row(&self, whole: FunctionRow, all_ns: u64) -> FunctionRow {
        let (min_ns, max_ns) = self.extremes.unwrap_or_default();
        let part = self.calls as f64 / whole.calls.max(1) as f64;
        FunctionRow {
            calls: self.calls,
            calls_error: (1.96 * self.variance.sqrt()).ceil() as u64,
            timed: self.calls,
            unwound: 0,
            in_flight: 0,
            unmatched: 0,
            rate: whole.rate * part,
            share: self.total_ns / (all_ns.max(1) as f64),
            latency_ns: Latency::of(
                &self.histogram,
                self.calls,
                self.total_ns as u64,
                min_ns,
                max_ns,
            ),
            self_ns: None,
            probes_ns: (whole.probes_ns as f64 * part) as u64,
            ..whole
        }
    }
}
