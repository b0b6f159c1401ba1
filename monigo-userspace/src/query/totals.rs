//! Sums since the start of the session, kept up to date by reading only what is new.
//!
//! A view asks every second; a session may be days long. Only rows of flushes after the last
//! look are read and added to what is known.

use duckdb::{Connection, ToSql, params};

use super::{Latency, QueryError, blocks::Blocks, columns::each_row};
use crate::{histogram::Histogram, store::Reader};

/// What one function did in some span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FunctionTotals {
    pub entered: u64,
    pub calls: u64,
    pub unwound: u64,
    pub unmatched: u64,
    /// Completed calls whose duration was measured.
    pub timed: u64,
    /// Completed calls that were counted, not estimated, and whose duration was not measured.
    only_counted: u64,
    /// Completed calls in flush intervals of which something is known about durations: those that
    /// their sums are of.
    covered: u64,
    /// Of the estimate of `calls`; 0 when counted.
    variance: f64,
    covered_ns: u64,
    covered_self_ns: u64,
    /// Recorded by a monigo that did not measure self time.
    self_unknown: bool,
    /// Extremes of the session so far; `None` before the first completed call.
    pub min_ns: Option<u64>,
    pub max_ns: Option<u64>,
    pub histogram: Histogram,
}

impl FunctionTotals {
    /// Calls begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.entered
            .saturating_sub(self.calls)
            .saturating_sub(self.unwound)
    }

    /// Summed duration of the completed calls, ns.
    pub fn total_ns(&self) -> u64 {
        self.extended(self.covered_ns)
    }

    /// The same without time in traced callees; `None` when not measured.
    pub fn self_ns(&self) -> Option<u64> {
        (!self.self_unknown).then(|| self.extended(self.covered_self_ns))
    }

    /// Half the width of the 95 % interval of `calls`; 0 when they were counted.
    pub fn calls_error(&self) -> u64 {
        (1.96 * self.variance.sqrt()).ceil() as u64
    }

    /// Time that the probes took from the target, ns. Calls that were estimated were not probed.
    pub fn probes_ns(&self, timed_ns: u32, counted_ns: u32) -> u64 {
        let timed = self.timed.saturating_add(self.unwound);
        let timed = timed.saturating_mul(timed_ns.into());
        timed.saturating_add(self.only_counted.saturating_mul(counted_ns.into()))
    }

    /// Summed duration of the calls of which something is known about durations, ns.
    pub fn timed_ns(&self) -> u64 {
        self.covered_ns
    }

    /// Adds what another part of the session has.
    fn add(&mut self, other: &Self) {
        self.entered += other.entered;
        self.calls += other.calls;
        self.unwound += other.unwound;
        self.unmatched += other.unmatched;
        self.timed += other.timed;
        self.only_counted += other.only_counted;
        self.covered += other.covered;
        self.variance += other.variance;
        self.covered_ns += other.covered_ns;
        self.covered_self_ns += other.covered_self_ns;
        self.self_unknown |= other.self_unknown;
        self.min_ns = [self.min_ns, other.min_ns].into_iter().flatten().min();
        self.max_ns = self.max_ns.max(other.max_ns);
        self.histogram.merge(&other.histogram);
    }

    /// A sum over the covered calls, as if they were all.
    fn extended(&self, sum_ns: u64) -> u64 {
        if self.covered == self.calls || self.covered == 0 {
            return sum_ns;
        }
        (sum_ns as f64 * self.calls as f64 / self.covered as f64).round() as u64
    }

    /// Latency over the session.
    pub fn latency(&self) -> Latency {
        let (min, max) = (self.min_ns.unwrap_or(0), self.max_ns.unwrap_or(0));
        self.latency_between(min, max)
    }

    fn latency_between(&self, min_ns: u64, max_ns: u64) -> Latency {
        // Without a timed call nothing is known.
        let calls = if self.covered > 0 { self.calls } else { 0 };
        Latency::of(&self.histogram, calls, self.total_ns(), min_ns, max_ns)
    }

    /// Latency of these totals when they are of a part of the session that `session` is the whole
    /// of: the shortest is the session's, the longest is known by bucket.
    pub fn latency_within(&self, session: &Self) -> Latency {
        let min = session.min_ns.unwrap_or(0);
        let max = match self.histogram.top() {
            0 if self.histogram.total() == 0 => 0,
            top => top.clamp(min, session.max_ns.unwrap_or(u64::MAX).max(min)),
        };
        self.latency_between(min, max)
    }
}

/// Everything summed up to a flush.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    epoch: u64,
    /// Of what was deleted before the first look, by function id.
    deleted: Option<Vec<FunctionTotals>>,
    /// End of the last flush included; `None` before the first.
    pub upto_ns: Option<i64>,
    /// Calls recorded in full since the start.
    pub recorded: u64,
    /// Time that records of calls and the like took from the target, beside the probes of calls, ns.
    beside_ns: u64,
    /// Time in which they did, ns.
    watched_ns: u64,
    /// Begin of the first flush included.
    first_ns: Option<i64>,
    /// By function id.
    pub functions: Vec<FunctionTotals>,
}

/// Flushes to sum over: ends in `(after_ns, upto_ns]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub session: i64,
    pub after_ns: i64,
    pub upto_ns: i64,
}

impl Totals {
    pub fn new(functions: usize) -> Self {
        Self {
            functions: vec![FunctionTotals::default(); functions],
            ..Self::default()
        }
    }

    /// Makes room for functions that came later.
    pub fn grow(&mut self, functions: usize) {
        if self.functions.len() < functions {
            self.functions.resize(functions, FunctionTotals::default());
        }
    }

    /// Adds what was flushed since the last time.
    pub fn refresh(&mut self, reader: &Reader, session: i64) -> Result<(), QueryError> {
        loop {
            let epoch = reader.epoch();
            if epoch != self.epoch {
                *self = Self::new(self.functions.len());
                self.epoch = epoch;
            }
            // On an error half of the sums may have been added: start over next time.
            let so_far = std::mem::replace(self, Self::new(self.functions.len()));
            *self = reader.with(|connection| {
                // What is deleted meanwhile counts once: as kept or as deleted.
                connection.execute_batch("BEGIN TRANSACTION")?;
                let advanced = so_far.advanced(connection, session)?;
                connection.execute_batch("COMMIT")?;
                Ok::<_, QueryError>(advanced)
            })?;
            // Rows deleted in between may have been summed up or not.
            if reader.epoch() == epoch {
                return Ok(());
            }
        }
    }

    /// Part of a CPU that records of calls and the like took from the target.
    pub fn beside_share(&self) -> f64 {
        self.beside_ns as f64 / self.watched_ns.max(1) as f64
    }

    /// Time between the first flush and the last in which nothing was measured, since the clock was set forward, ns.
    pub fn skipped_ns(&self) -> i64 {
        let (Some(first), Some(upto)) = (self.first_ns, self.upto_ns) else {
            return 0;
        };
        let length = upto.saturating_sub(first);
        length.saturating_sub_unsigned(self.watched_ns).max(0)
    }

    /// What each function did since the start of the session.
    pub fn since_start(&self) -> Vec<FunctionTotals> {
        let mut sums = self.functions.clone();
        for (sum, deleted) in sums.iter_mut().zip(self.deleted.iter().flatten()) {
            sum.add(deleted);
        }
        sums
    }

    fn advanced(mut self, connection: &Connection, session: i64) -> Result<Self, QueryError> {
        if self.deleted.is_none() {
            self.deleted = Some(deleted(connection, session, self.functions.len())?);
            self.recorded = connection.query_row(
                "SELECT coalesce(max(deleted_calls), 0)::BIGINT FROM sessions WHERE session_id = ?",
                [session],
                |row| row.get(0),
            )?;
        }
        let newest: Option<i64> = connection.query_row(
            "SELECT max(at_ns) FROM flushes WHERE session_id = ?",
            [session],
            |row| row.get(0),
        )?;
        let Some(newest) = newest.filter(|at| self.upto_ns.is_none_or(|upto| *at > upto)) else {
            return Ok(self);
        };
        let span = Span {
            session,
            after_ns: self.upto_ns.unwrap_or(i64::MIN),
            upto_ns: newest,
        };
        add_counters(connection, span, &mut self.functions)?;
        add_buckets(connection, span, None, &mut self.functions)?;
        self.recorded += connection.query_row(
            "SELECT count(*) FROM calls WHERE session_id = ? AND at_ns > ? AND at_ns <= ?",
            params![session, span.after_ns, span.upto_ns],
            |row| row.get::<_, u64>(0),
        )?;
        let (beside_ns, watched_ns, first_ns): (u64, u64, Option<i64>) = connection.query_row(
            "SELECT coalesce(sum(beside_ns), 0)::BIGINT, coalesce(sum(at_ns - from_ns), 0)::BIGINT, min(from_ns)
             FROM flushes WHERE session_id = ? AND at_ns > ? AND at_ns <= ?",
            params![session, span.after_ns, span.upto_ns],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        self.first_ns = self.first_ns.or(first_ns);
        self.beside_ns += beside_ns;
        self.watched_ns += watched_ns;
        self.upto_ns = Some(newest);
        Ok(self)
    }
}

/// Adds the counters in `span` to `functions`, which is indexed by function id.
pub(super) fn add_counters(
    connection: &Connection,
    span: Span,
    functions: &mut [FunctionTotals],
) -> Result<(), QueryError> {
    let rows = "function_deltas WHERE session_id = ? AND at_ns > ? AND at_ns <= ?";
    let span = params![span.session, span.after_ns, span.upto_ns];
    add_rows(connection, rows, span, functions)
}

/// Sums of what was deleted, for so many functions.
fn deleted(
    connection: &Connection,
    session: i64,
    functions: usize,
) -> Result<Vec<FunctionTotals>, QueryError> {
    let mut sums = vec![FunctionTotals::default(); functions];
    let rows = "deleted_deltas WHERE session_id = ?";
    add_rows(connection, rows, params![session], &mut sums)?;
    let sql = format!(
        "SELECT function_id::BIGINT, bucket::BIGINT, sum(count)::BIGINT FROM deleted_histograms
         WHERE session_id = {session} GROUP BY 1, 2"
    );
    add_histograms(connection, &sql, &mut sums)?;
    Ok(sums)
}

fn add_rows(
    connection: &Connection,
    rows: &str,
    values: &[&dyn ToSql],
    functions: &mut [FunctionTotals],
) -> Result<(), QueryError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT function_id, sum(entered)::BIGINT, sum(calls)::BIGINT, sum(unwound)::BIGINT,
                sum(unmatched)::BIGINT, sum(total_ns)::BIGINT, min(min_ns), max(max_ns),
                coalesce(sum(self_ns), 0)::BIGINT, count(*) > count(self_ns), sum(timed)::BIGINT,
                coalesce(sum(calls) FILTER (timed > 0 OR total_ns > 0), 0)::BIGINT,
                sum(variance)::DOUBLE,
                coalesce(sum(greatest(calls - timed, 0)) FILTER (variance = 0), 0)::BIGINT
         FROM {rows} GROUP BY function_id"
    ))?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        let Some(sum) = functions.get_mut(row.get::<_, usize>(0)?) else {
            continue;
        };
        sum.entered += row.get::<_, u64>(1)?;
        sum.calls += row.get::<_, u64>(2)?;
        sum.unwound += row.get::<_, u64>(3)?;
        sum.unmatched += row.get::<_, u64>(4)?;
        sum.covered_ns += row.get::<_, u64>(5)?;
        let (min, max): (Option<u64>, Option<u64>) = (row.get(6)?, row.get(7)?);
        sum.min_ns = [sum.min_ns, min].into_iter().flatten().min();
        sum.max_ns = sum.max_ns.max(max);
        sum.covered_self_ns += row.get::<_, u64>(8)?;
        sum.self_unknown |= row.get::<_, bool>(9)?;
        sum.timed += row.get::<_, u64>(10)?;
        sum.covered += row.get::<_, u64>(11)?;
        sum.variance += row.get::<_, f64>(12)?;
        sum.only_counted += row.get::<_, u64>(13)?;
    }
    Ok(())
}

/// Adds the histogram buckets in `span` to `functions`, of all functions or one.
pub(super) fn add_buckets(
    connection: &Connection,
    span: Span,
    function: Option<u32>,
    functions: &mut [FunctionTotals],
) -> Result<(), QueryError> {
    let blocks = Blocks::within(connection, span, i64::MAX)?;
    let only = function.map_or_else(String::new, |id| format!("WHERE function_id = {id}"));
    let sql = format!(
        "SELECT function_id::BIGINT, bucket::BIGINT, sum(count)::BIGINT FROM {} {only} GROUP BY 1, 2",
        blocks.histograms()
    );
    add_histograms(connection, &sql, functions)
}

/// Adds rows of a function, a bucket and its count.
fn add_histograms(
    connection: &Connection,
    sql: &str,
    functions: &mut [FunctionTotals],
) -> Result<(), QueryError> {
    each_row(connection, sql, |[function, bucket, count]| {
        if let Some(sum) = functions.get_mut(function as usize) {
            sum.histogram.add(bucket as u16, count as u64);
        }
    })?;
    Ok(())
}
