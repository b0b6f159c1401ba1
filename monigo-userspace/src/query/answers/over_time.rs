//! Rate and latency over time.

use serde::{Deserialize, Serialize};

/// One step of a rate-and-latency series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// Start of the step, Unix time in ns.
    pub at_ns: i64,
    /// Length of the step, ns.
    pub step_ns: i64,
    /// Completed calls in it.
    pub calls: u64,
    /// Calls unwound in it.
    pub unwound: u64,
    /// Median, ns; zero without calls.
    pub p50: u64,
    /// 99th percentile, ns; zero without calls.
    pub p99: u64,
}

/// Latency distribution over time. Latency rows are merged buckets, a quarter of a power of two high.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heatmap {
    /// Start of each column, Unix time in ns, ascending.
    pub times_ns: Vec<i64>,
    /// Length of a column, ns.
    pub step_ns: i64,
    /// Lower bound of each row, ns, ascending; the upper bound is the next row's.
    pub rows_ns: Vec<u64>,
    /// Upper bound of the last row, ns.
    pub top_ns: u64,
    /// Calls, one list of rows per column.
    pub counts: Vec<Vec<u64>>,
}
