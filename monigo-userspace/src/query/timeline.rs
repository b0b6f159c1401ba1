//! Questions over time: rate and latency series, and the heatmap. Each is answered in [`steps`](super::steps).

use std::collections::BTreeMap;

use duckdb::Connection;
use monigo_common::histogram::bounds;

use serde::{Deserialize, Serialize};

use super::{
    Heatmap, QueryError, SeriesPoint, Window,
    columns::each_row,
    steps::{Step, Steps, fair_steps, steps},
    totals::Span,
};
use crate::histogram::Histogram;

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
