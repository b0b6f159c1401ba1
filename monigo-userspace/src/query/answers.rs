//! What questions are answered with.

use serde::{Deserialize, Serialize};

use super::warnings;
use crate::{
    histogram::Histogram,
    plan::CostClass,
    store::{ExitProbe, Frame},
    symbols::Language,
};

/// The session as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Session id in the store.
    pub session: i64,
    /// Target path.
    pub target: String,
    /// Language of the target.
    pub language: Language,
    /// Pids seen, ascending.
    pub pids: Vec<u32>,
    /// Host name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    /// monigo's version when it recorded.
    pub monigo_version: String,
    /// Version of the language's runtime; `None` where it has none, or an older monigo recorded.
    #[serde(default)]
    pub runtime_version: Option<String>,
    /// How long measurements are kept, for example `7d`, as it was when the session began; `None` where an older
    /// monigo recorded.
    #[serde(default)]
    pub retention: Option<String>,
    /// Start, Unix time in ns.
    pub started_ns: i64,
    /// End, Unix time in ns; `None` while recording (or after a kill).
    pub ended_ns: Option<i64>,
    /// Time of the last flush, Unix time in ns.
    pub last_flush_ns: Option<i64>,
    /// Flush interval, ns.
    pub flush_ns: i64,
    /// Calls recorded in full since the start.
    pub recorded: u64,
    /// Losses by cause since the start.
    pub losses: Vec<LossRow>,
    /// Sentences for the user: what monigo could not see, and what to do.
    pub warnings: Vec<String>,
    /// Share of one CPU that records of calls and probes on the runtime of the language took from
    /// the target: about, and beside the probes of calls.
    #[serde(default)]
    pub beside_share: f64,
    /// Time between start and end in which there was nothing to measure, since the clock was set forward, ns.
    #[serde(default)]
    pub skipped_ns: i64,
}

impl Overview {
    /// Length of the recording so far, in ns.
    pub fn duration_ns(&self) -> u64 {
        let end = self.ended_ns.or(self.last_flush_ns);
        let length = end.map_or(0, |end| end.saturating_sub(self.started_ns));
        let length = length.saturating_sub(self.skipped_ns);
        u64::try_from(length).unwrap_or(0)
    }

    /// Calls that were to be recorded in full and could not be.
    pub fn dropped(&self) -> u64 {
        let dropped = |loss: &&LossRow| warnings::is_dropped_event(&loss.cause);
        self.losses
            .iter()
            .filter(dropped)
            .map(|loss| loss.count)
            .sum()
    }
}

/// Losses of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRow {
    /// Stable cause name.
    pub cause: String,
    /// How many since the start.
    pub count: u64,
}

/// One function over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionRow {
    /// Index of the function in the session.
    pub id: u32,
    /// Demangled name.
    pub name: String,
    /// Image path.
    pub image: String,
    /// Source file, when known.
    pub file: Option<String>,
    /// Line, when known.
    pub line: Option<u32>,
    /// Completed calls.
    pub calls: u64,
    /// 0 when `calls` was counted; else it is an estimate, and this is half the width of its 95 %
    /// interval.
    #[serde(default)]
    pub calls_error: u64,
    /// Completed calls whose duration was measured. When fewer than `calls`, the latency is
    /// theirs, and sums are scaled up; when 0, no latency is known.
    #[serde(default)]
    pub timed: u64,
    /// Calls ended by a panic, an exception or `longjmp`.
    pub unwound: u64,
    /// Calls open at the end of the window.
    pub in_flight: u64,
    /// Ends of calls that began before monigo attached.
    pub unmatched: u64,
    /// Completed calls per second of the window.
    pub rate: f64,
    /// Share of this function in the summed duration of all functions, 0 to 1.
    pub share: f64,
    /// Latency of the completed calls.
    pub latency_ns: Latency,
    /// Summed duration of the completed calls without time in traced callees, ns; `None` in
    /// recordings of a monigo that did not measure it.
    #[serde(default)]
    pub self_ns: Option<u64>,
    /// Time that the probes took from the target, ns; 0 when their cost was not measured.
    #[serde(default)]
    pub probes_ns: u64,
    /// How it is probed.
    pub probe: ProbeRow,
}

impl FunctionRow {
    /// Share of the completed calls whose duration was measured; `None` when all were.
    pub fn timed_share(&self) -> Option<f64> {
        (self.timed < self.calls).then(|| self.timed as f64 / self.calls as f64)
    }

    /// Whether it counts executions of an async function, from the first poll to completion.
    pub fn counts_executions(&self) -> bool {
        self.probe.sites == 0 && self.id > 0
    }

    /// Whether calls of several bodies count as its calls.
    pub fn has_instances(&self) -> bool {
        !self.probe.instances.is_empty()
    }

    /// Whether self time is known and is not simply the total.
    pub fn calls_traced_functions(&self) -> bool {
        self.self_ns.is_some_and(|ns| ns != self.latency_ns.total)
    }
}

/// One function since the start of the session, with what was deleted from the database meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinceStart {
    /// Its figures. Counts only grow while a session goes on.
    pub row: FunctionRow,
    /// Summed duration of the calls in `buckets`, ns.
    pub timed_ns: u64,
    /// Non-empty histogram buckets, ascending.
    pub buckets: Vec<Bucket>,
}

/// Time that the probes of `functions` took from the target within `duration_ns`, as a share of
/// the time of one CPU.
pub fn share_of_cpu(functions: &[FunctionRow], duration_ns: u64) -> f64 {
    let cost: f64 = functions.iter().map(|row| row.probes_ns as f64).sum();
    if duration_ns > 0 {
        cost / duration_ns as f64
    } else {
        0.0
    }
}

/// Latency figures in ns. All zero when no call was timed. Percentiles are within 3 % of the
/// true value; the others are exact when all calls were timed. Percentiles, and in a window the
/// longest, are zero where the kernel side had no room for a histogram. Figures of single calls are
/// no better than the floor of the probe, see [`ProbeRow::floor_ns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest (since the session's start, whatever the window).
    pub min: u64,
    /// Mean.
    pub mean: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Longest (since the session's start when the window is the whole session, else by bucket).
    pub max: u64,
    /// Sum.
    pub total: u64,
}

impl Latency {
    /// Figures of calls whose extremes and sum are known exactly. Percentiles are zero where there was
    /// no room for a histogram.
    pub fn of(histogram: &Histogram, calls: u64, total_ns: u64, min_ns: u64, max_ns: u64) -> Self {
        if calls == 0 {
            return Self::default();
        }
        let exact = Self {
            min: min_ns,
            mean: total_ns / calls,
            max: max_ns,
            total: total_ns,
            ..Self::default()
        };
        if histogram.total() == 0 {
            return exact;
        }
        // A bucket's middle can lie outside what was really seen in it.
        let percentile = |share| histogram.percentile(share).min(max_ns).max(min_ns);
        Self {
            p50: percentile(0.5),
            p90: percentile(0.9),
            p99: percentile(0.99),
            p999: percentile(0.999),
            ..exact
        }
    }
}

/// How a function is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// Address of the entry probe, hex with `0x`.
    pub entry: String,
    /// How ends are seen.
    pub exit: ExitProbe,
    /// Number of sites.
    pub sites: u32,
    /// Dearest site's class.
    pub cost_class: CostClass,
    /// Time that the probes of one call take from the target, ns; 0 when not measured.
    #[serde(default)]
    pub cost_ns: u32,
    /// Durations below this cannot be told from none, ns; 0 when not measured.
    #[serde(default)]
    pub floor_ns: u32,
    /// Its bodies, by address; empty if it has only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceRow>,
}

/// One of the bodies that count as one function: a generic instance, a clone, a static of the same
/// name in another file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Demangled name.
    pub name: String,
    /// Name in the image.
    pub linkage_name: String,
    /// Address of its first instruction, hex with `0x`.
    pub address: String,
    /// Source file, when known.
    pub file: Option<String>,
    /// Line, when known.
    pub line: Option<u32>,
    /// Number of sites.
    pub sites: u32,
    /// Dearest site's class.
    pub cost_class: CostClass,
}

/// One non-empty histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Lowest duration inside, ns.
    pub low_ns: u64,
    /// Lowest duration above, ns.
    pub high_ns: u64,
    /// Calls.
    pub count: u64,
}

impl Bucket {
    /// Those of a histogram, ascending.
    pub fn all(histogram: &Histogram) -> Vec<Self> {
        let bucket = |((low_ns, high_ns), count)| Self {
            low_ns,
            high_ns,
            count,
        };
        histogram.buckets().map(bucket).collect()
    }
}

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

/// A recorded call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Index of the function.
    pub function: u32,
    /// Start, Unix time in ns.
    pub start_ns: i64,
    /// Duration, ns, without what probes took.
    pub duration_ns: u64,
    /// What probes took in it, ns: both together are the time from entry to return. 0 in recordings
    /// of a monigo that did not store it.
    #[serde(default)]
    pub probes_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id.
    pub goid: Option<u64>,
    /// CPU.
    pub cpu: u32,
    /// Completed calls it stands for.
    pub weight: u32,
    /// Stack id for [`Source::stack`].
    pub stack: Option<u64>,
}

impl Call {
    /// Time from entry to return, ns: what is measured, and what probes took.
    pub fn span_ns(&self) -> u64 {
        self.duration_ns.saturating_add(self.probes_ns)
    }

    /// When it returned, Unix time in ns.
    pub fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add_unsigned(self.span_ns())
    }
}

/// What a stack's weight means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Wall-clock ns spent in the calls.
    #[default]
    Wall,
    /// Number of calls.
    Calls,
    /// Time running inside the functions, ns; sampled.
    Cpu,
    /// Time off CPU inside the functions, ns; sampled.
    OffCpu,
    /// Time inside the functions, running or not, by what they did, ns; sampled.
    Time,
}

impl Weight {
    /// The unit's name.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Wall | Self::Cpu | Self::OffCpu | Self::Time => "ns",
            Self::Calls => "calls",
        }
    }

    /// Whether samples are weighed, and not calls.
    pub fn is_sampled(self) -> bool {
        matches!(self, Self::Cpu | Self::OffCpu | Self::Time)
    }
}

/// One distinct stack, heaviest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StackRow {
    /// Stack id.
    pub id: u64,
    /// Estimated weight (ns or calls), scaled up from the sample.
    pub weight: u64,
    /// Estimated calls; 0 when weighed by samples.
    pub calls: u64,
    /// Mean duration of its recorded calls, ns; 0 when weighed by samples.
    pub mean_ns: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Whether the walk ended early.
    pub truncated: bool,
}

/// A node of a flame graph, root first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlameNode {
    /// Function name.
    pub name: String,
    /// Image, file and line for the tooltip; empty at the root.
    pub detail: String,
    /// Weight of this node with its children.
    pub value: u64,
    /// Heaviest first.
    pub children: Vec<FlameNode>,
}

/// Result of a free SQL query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows; numbers that fit JSON stay numbers, the rest are strings.
    pub rows: Vec<Vec<serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use monigo_common::histogram::bucket_of;
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Latency {
        let mut histogram = Histogram::default();
        for &ns in durations {
            histogram.add(bucket_of(ns) as u16, 1);
        }
        let (min, max) = (durations.iter().min(), durations.iter().max());
        let extreme = |ns: Option<&u64>| ns.copied().unwrap_or(0);
        let sum = durations.iter().sum();
        Latency::of(
            &histogram,
            durations.len() as u64,
            sum,
            extreme(min),
            extreme(max),
        )
    }

    #[test]
    fn no_call_is_all_zero() {
        assert_eq!(of(&[]), Latency::default());
    }

    #[test]
    fn one_call_is_every_percentile() {
        let latency = of(&[1_000_003]);
        for ns in [latency.min, latency.p50, latency.p999, latency.max] {
            assert_eq!(ns, 1_000_003);
        }
    }

    #[test]
    fn without_a_histogram_sums_and_extremes_are_told() {
        let latency = Latency::of(&Histogram::default(), 4, 100, 10, 40);
        let expected = Latency {
            min: 10,
            mean: 25,
            max: 40,
            total: 100,
            ..Latency::default()
        };
        assert_eq!(latency, expected);
    }

    proptest! {
        #[test]
        fn percentiles_ascend_between_the_extremes(
            durations in proptest::collection::vec(
                prop_oneof![0_u64..100, 0_u64..1_000_000, 0_u64..(1 << 42)], 1..600)
        ) {
            let it = of(&durations);
            prop_assert_eq!(it.mean, durations.iter().sum::<u64>() / durations.len() as u64);
            let figures = [it.min, it.p50, it.p90, it.p99, it.p999, it.max];
            prop_assert!(figures.is_sorted(), "{figures:?}");
        }
    }
}
