//! Questions over time: rate and latency series, and the heatmap.
//!
//! Steps are groups of whole flush intervals, never parts of one, so that every count is exact
//! and no step is empty or doubled only because its edges do not fall on a flush. Groups are
//! aligned to flush ids: as the window slides, finished steps keep their content. Where old intervals
//! were merged to coarser ones, groups are aligned to the time instead.

use std::collections::BTreeMap;

use duckdb::{Connection, params};
use monigo_common::histogram::bounds;

use serde::{Deserialize, Serialize};

use super::{
    Heatmap, QueryError, SeriesPoint, Window, blocks::Blocks, columns::each_row, totals::Span,
};
use crate::{histogram::Histogram, store::BLOCK};

/// Which functions, when, and how finely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyQuestion {
    /// Ids of functions; empty for all.
    pub functions: Vec<u32>,
    /// When the calls ended.
    pub window: Window,
    /// Most steps to answer with; at least 1.
    pub points: u32,
}

/// One step, with the functions that completed calls in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// Start of the step, Unix time in ns.
    pub at_ns: i64,
    /// Length of the step, ns.
    pub step_ns: i64,
    /// By id, ascending.
    pub functions: Vec<FunctionLatency>,
}

/// Calls of one function in one step. Percentiles are within 3 %, and zero where no call was timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionLatency {
    /// Index of the function.
    pub function: u32,
    /// Completed calls.
    pub calls: u64,
    /// Mean, ns.
    pub mean: u64,
    /// Median, ns.
    pub p50: u64,
    /// 90th percentile, ns.
    pub p90: u64,
    /// 99th percentile, ns.
    pub p99: u64,
}

/// The last flush interval of each function in which a call completed: its end.
pub(super) fn last_runs(
    connection: &Connection,
    session: i64,
) -> Result<Vec<(u32, i64)>, QueryError> {
    let mut statement = connection.prepare_cached(
        "SELECT function_id, max(at_ns) FROM function_deltas
         WHERE session_id = ? AND calls > 0 GROUP BY 1 ORDER BY 1",
    )?;
    let rows = statement.query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// As many steps are fine enough for reading sums over blocks instead of many more rows.
const ENOUGH: i64 = 100;
/// Functions times intervals whose rows are read as they are; ten million rows are some 400,000.
const FEW: i64 = 20_000;
/// Functions times steps in an answer, if that leaves enough steps.
const CELLS: i64 = 10_000;
/// Steps of so many blocks lose little by being whole blocks.
const BLOCKS: i64 = 4;

/// A group of consecutive flush intervals.
#[derive(Clone, Copy, Debug)]
struct Step {
    from_ns: i64,
    to_ns: i64,
}

/// The steps of a window, by group number.
struct Steps {
    /// How intervals are grouped.
    by: GroupBy,
    /// Blocks that can be taken as a whole.
    blocks: Blocks,
    found: BTreeMap<i64, Step>,
}

/// The group of an interval is a column of it divided by a number.
#[derive(Clone, Copy, Debug)]
struct GroupBy {
    column: &'static str,
    each: i64,
}

impl GroupBy {
    /// For `flushes` intervals with rows of `functions`, at most `most` groups.
    fn flushes(flushes: i64, functions: i64, most: i64) -> Self {
        let fine = if flushes <= most {
            1
        } else {
            share(flushes, most)
        };
        let many = flushes.saturating_mul(functions) > FEW;
        let enough = flushes >= BLOCK * (most - 1).min(ENOUGH);
        let whole = most > 1 && (fine >= BLOCK * BLOCKS || (many && enough));
        let each = if whole {
            // Blocks are sums already.
            (fine as u64).next_multiple_of(BLOCK as u64) as i64
        } else {
            fine
        };
        Self {
            column: "flush_id",
            each,
        }
    }

    /// For intervals that end within `length_ns`, at most `most` groups.
    fn time(length_ns: i64, most: i64) -> Self {
        Self {
            column: "interval_ns",
            each: share(length_ns, most),
        }
    }
}

impl GroupBy {
    /// The expression.
    fn key(self) -> String {
        format!("{} // {}", self.column, self.each)
    }

    fn is_time(self) -> bool {
        self.column == "interval_ns"
    }

    /// The length of the longest blocks that are as good as the intervals in them, ns; `None` if none is.
    fn longest_block_ns(self) -> Option<i64> {
        if self.is_time() {
            return Some(self.each);
        }
        (self.each % BLOCK == 0 || self.each == i64::MAX).then_some(i64::MAX)
    }
}

/// Steps in an answer about so many functions, at most.
fn fair_steps(functions: usize) -> u32 {
    (CELLS / functions.max(1) as i64).max(ENOUGH) as u32
}

/// Size of a part, so that aligned parts of it are at most `most`: alignment can split one part in
/// two, at both ends.
fn share(length: i64, most: i64) -> i64 {
    match most {
        ..=1 => i64::MAX,
        _ => (length as u64).div_ceil(most as u64 - 1) as i64,
    }
}

/// Steps for reading rows of so many functions; `None` is all.
fn steps(
    connection: &Connection,
    span: Span,
    functions: Option<usize>,
    most: u32,
) -> Result<Steps, QueryError> {
    let window = params![span.session, span.after_ns, span.upto_ns];
    let (flushes, length_ns, merged, all): (i64, i64, bool, i64) = connection.query_row(
        "SELECT count(*), coalesce(max(at_ns) - min(at_ns) + 1, 0),
                coalesce(min(at_ns) < max(merged_before_ns), false),
                (SELECT count(*) FROM functions WHERE session_id = $1)
         FROM flushes JOIN sessions USING (session_id)
         WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3",
        window,
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let functions = functions.map_or(all, |count| count as i64);
    let most = i64::from(most.max(1));
    // Ids of merged intervals do not count up by one.
    let by = if flushes <= most || !merged {
        GroupBy::flushes(flushes, functions, most)
    } else {
        GroupBy::time(length_ns, most)
    };
    let blocks = match by.longest_block_ns() {
        Some(longest_ns) => Blocks::within(connection, span, longest_ns)?,
        None => Blocks::none(span),
    };
    let mut statement = connection.prepare(&format!(
        "SELECT {}, min(from_ns), max(ended_ns) FROM {} GROUP BY 1",
        by.key(),
        blocks.timed(by.is_time(), "flushes", "from_ns, at_ns AS ended_ns"),
    ))?;
    let steps = statement
        .query_map([], |row| {
            let (from_ns, to_ns) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, Step { from_ns, to_ns }))
        })?
        .collect::<Result<_, _>>()?;
    Ok(Steps {
        by,
        blocks,
        found: steps,
    })
}

/// Buckets by group.
fn histograms(
    connection: &Connection,
    steps: &Steps,
    function: Option<u32>,
) -> Result<BTreeMap<i64, Vec<(u16, u64)>>, QueryError> {
    let sql = format!(
        "SELECT {}, bucket::BIGINT, sum(count)::BIGINT FROM {} {} GROUP BY 1, 2",
        steps.by.key(),
        steps.blocks.histograms(),
        only(function.as_slice())
    );
    let mut groups: BTreeMap<i64, Vec<(u16, u64)>> = BTreeMap::new();
    each_row(connection, &sql, |[group, bucket, count]| {
        let counted = (bucket as u16, count as u64);
        groups.entry(group).or_default().push(counted);
    })?;
    Ok(groups)
}

/// A condition; none for no functions.
fn only(functions: &[u32]) -> String {
    if functions.is_empty() {
        return String::new();
    }
    let ids: Vec<String> = functions.iter().map(u32::to_string).collect();
    format!("WHERE function_id IN ({})", ids.join(", "))
}

/// Rate and latency over time.
pub(super) fn series(
    connection: &Connection,
    span: Span,
    function: Option<u32>,
    points: u32,
) -> Result<Vec<SeriesPoint>, QueryError> {
    let steps = steps(connection, span, function.map(|_| 1), points)?;
    let mut statement = connection.prepare(&format!(
        "SELECT {}, sum(calls)::BIGINT, sum(unwound)::BIGINT FROM {} {} GROUP BY 1",
        steps.by.key(),
        steps.blocks.timed(
            steps.by.is_time(),
            "function_deltas",
            "function_id, calls, unwound"
        ),
        only(function.as_slice())
    ))?;
    let counts: BTreeMap<i64, (u64, u64)> = statement
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    let histograms = histograms(connection, &steps, function)?;
    let point = |(group, step): (i64, Step)| {
        let (calls, unwound) = counts.get(&group).copied().unwrap_or_default();
        let mut histogram = Histogram::default();
        for &(bucket, count) in histograms.get(&group).into_iter().flatten() {
            histogram.add(bucket, count);
        }
        SeriesPoint {
            at_ns: step.from_ns,
            step_ns: step.to_ns - step.from_ns,
            calls,
            unwound,
            p50: histogram.percentile(0.5),
            p99: histogram.percentile(0.99),
        }
    };
    Ok(steps.found.into_iter().map(point).collect())
}

/// Calls and latency of several functions over time.
pub(super) fn latency(
    connection: &Connection,
    span: Span,
    question: &LatencyQuestion,
) -> Result<Vec<LatencyPoint>, QueryError> {
    let asked = Some(question.functions.len()).filter(|count| *count > 0);
    let most = match asked {
        Some(count) => question.points.min(fair_steps(count)),
        None => question.points,
    };
    let steps = steps(connection, span, asked, most)?;
    let only = only(&question.functions);
    let mut sums: BTreeMap<(i64, i64), (u64, u64, Histogram)> = BTreeMap::new();
    let sql = format!(
        "SELECT {}, function_id::BIGINT, sum(calls)::BIGINT, sum(total_ns)::BIGINT FROM {} {only}
         GROUP BY 1, 2 HAVING sum(calls) > 0",
        steps.by.key(),
        steps.blocks.timed(
            steps.by.is_time(),
            "function_deltas",
            "function_id, calls, total_ns"
        ),
    );
    each_row(connection, &sql, |[group, function, calls, total_ns]| {
        let sum = (calls as u64, total_ns as u64, Histogram::default());
        sums.insert((group, function), sum);
    })?;
    let sql = format!(
        "SELECT {}, function_id::BIGINT, bucket::BIGINT, sum(count)::BIGINT FROM {} {only}
         GROUP BY 1, 2, 3",
        steps.by.key(),
        steps.blocks.histograms(),
    );
    each_row(connection, &sql, |[group, function, bucket, count]| {
        if let Some((_, _, histogram)) = sums.get_mut(&(group, function)) {
            histogram.add(bucket as u16, count as u64);
        }
    })?;
    let steps = steps.found;
    let mut points: BTreeMap<i64, LatencyPoint> = steps
        .into_iter()
        .map(|(group, step)| {
            let point = LatencyPoint {
                at_ns: step.from_ns,
                step_ns: step.to_ns - step.from_ns,
                functions: Vec::new(),
            };
            (group, point)
        })
        .collect();
    for ((group, function), (calls, total_ns, histogram)) in sums {
        if let Some(point) = points.get_mut(&group) {
            point.functions.push(FunctionLatency {
                function: function as u32,
                calls,
                mean: total_ns / calls,
                p50: histogram.percentile(0.5),
                p90: histogram.percentile(0.9),
                p99: histogram.percentile(0.99),
            });
        }
    }
    Ok(points.into_values().collect())
}

/// Latency over time, in rows of a quarter of a power of two.
pub(super) fn heatmap(
    connection: &Connection,
    span: Span,
    function: u32,
    columns: u32,
) -> Result<Heatmap, QueryError> {
    let steps = steps(connection, span, Some(1), columns)?;
    let histograms = histograms(connection, &steps, Some(function))?;
    let steps = steps.found;
    let rows_seen = || {
        histograms
            .values()
            .flatten()
            .map(|&(bucket, _)| row_of(bounds(usize::from(bucket)).0))
    };
    let (Some(lowest), Some(highest)) = (rows_seen().min(), rows_seen().max()) else {
        return Ok(Heatmap {
            times_ns: steps.values().map(|step| step.from_ns).collect(),
            step_ns: mean_step(&steps),
            ..Heatmap::default()
        });
    };
    let column = |group: &i64| {
        let mut column = vec![0; highest - lowest + 1];
        for &(bucket, count) in histograms.get(group).into_iter().flatten() {
            column[row_of(bounds(usize::from(bucket)).0) - lowest] += count;
        }
        column
    };
    Ok(Heatmap {
        times_ns: steps.values().map(|step| step.from_ns).collect(),
        step_ns: mean_step(&steps),
        rows_ns: (lowest..=highest).map(row_low).collect(),
        top_ns: row_low(highest + 1),
        counts: steps.keys().map(column).collect(),
    })
}

fn mean_step(steps: &BTreeMap<i64, Step>) -> i64 {
    match (steps.first_key_value(), steps.last_key_value()) {
        (Some((_, first)), Some((_, last))) => {
            (last.to_ns - first.from_ns) / i64::try_from(steps.len()).unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

/// Heatmap row of a duration: below 4 ns one row each, then four to a power of two.
fn row_of(ns: u64) -> usize {
    if ns < 4 {
        return ns as usize;
    }
    let octave = u64::from(ns.ilog2());
    (4 + (octave - 2) * 4 + ((ns >> (octave - 2)) & 3)) as usize
}

/// Lowest duration in a heatmap row, ns.
fn row_low(row: usize) -> u64 {
    if row < 4 {
        return row as u64;
    }
    let (octave, quarter) = ((row - 4) / 4, (row - 4) % 4);
    (4 + quarter as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_read_by_blocks_and_few_as_they_are() {
        let each = |flushes, functions, most| GroupBy::flushes(flushes, functions, most).each;
        assert_eq!((each(2000, 1, 200), each(2000, 200, 200)), (11, 16));
        assert_eq!((each(2000, 1, 2000), each(2000, 20, 500)), (1, 8));
        assert_eq!((each(1000, 1, 240), each(1000, 21, 240)), (5, 8));
        assert_eq!((each(20_000, 1, 200), each(20_000, 20, 500)), (104, 48));
        // Too few intervals for steps of blocks.
        assert_eq!((each(700, 500, 200), each(50, 10_000, 200)), (4, 1));
        assert_eq!(each(2000, 200, 1), i64::MAX);
        for (flushes, functions, most) in [(900, 30, 200), (20_000, 20, 3), (1601, 20, 150)] {
            let each = each(flushes, functions, most);
            // Groups are aligned, so both ends can be parts of one.
            assert!((flushes - 2) / each + 2 <= most, "{flushes} {most}: {each}");
        }
    }

    #[test]
    fn a_report_of_many_functions_has_fewer_steps() {
        assert_eq!([1, 20, 1000].map(fair_steps), [10_000, 500, 100]);
    }

    #[test]
    fn rows_tile_the_durations() {
        for row in 0..160 {
            let (low, next) = (row_low(row), row_low(row + 1));
            assert!(low < next, "row {row}");
            assert_eq!(row_of(low), row);
            assert_eq!(row_of(next - 1), row);
        }
    }

    #[test]
    fn no_bucket_spans_two_rows() {
        for bucket in 0..monigo_common::histogram::BUCKETS {
            let (low, high) = bounds(bucket);
            assert_eq!(row_of(low), row_of(high - 1), "bucket {bucket}");
        }
    }
}
