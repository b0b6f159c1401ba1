//! The summary as one JSON object: the contract of `--format json` and `-o FILE.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    query::{Breakdown, FunctionRow, Latency, Overview, ProbeRow, TimeParts, Wait, share_of_cpu},
    symbols::Language,
};

/// A recording in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was traced.
    pub target: TargetSummary,
    /// Length of the recording, ns.
    pub duration_ns: u64,
    /// The traced functions, by total time, longest first.
    pub functions: Vec<FunctionSummary>,
    /// Calls recorded in full.
    pub events: Events,
    /// What the probes cost the target.
    #[serde(default)]
    pub overhead: Overhead,
    /// Sentences for the user: what monigo could not see.
    pub warnings: Vec<String>,
}

/// What was traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSummary {
    /// Path as shown.
    pub path: String,
    /// Processes seen, ascending.
    pub pids: Vec<u32>,
    /// Language of the target.
    pub language: Language,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionSummary {
    /// Demangled name.
    pub name: String,
    /// Completed calls.
    pub calls: u64,
    /// Half the width of the 95 % interval of `calls`; 0 when they were counted.
    #[serde(default)]
    pub calls_error: u64,
    /// Whether `calls` is an estimate.
    #[serde(default)]
    pub estimated: bool,
    /// Completed calls whose duration was measured.
    #[serde(default)]
    pub timed: u64,
    /// Calls ended by a panic, an exception or `longjmp`.
    pub unwound: u64,
    /// Calls open at the end.
    pub in_flight: u64,
    /// Ends of calls that began before monigo attached.
    pub unmatched: u64,
    /// Latency of the completed calls.
    pub latency_ns: Latency,
    /// Summed duration of the completed calls without time in traced callees, ns; null when not
    /// measured.
    #[serde(default)]
    pub self_ns: Option<u64>,
    /// Where the time from entry to return went; null when nothing was sampled.
    #[serde(default)]
    pub time_ns: Option<TimeSummary>,
    /// The same without the time in traced callees.
    #[serde(default)]
    pub self_time_ns: Option<TimeSummary>,
    /// How it was probed.
    pub probe: ProbeRow,
}

/// Where time went, ns. The parts add up to the summed duration of the calls, and to more when
/// calls were open at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSummary {
    /// Running.
    pub on_cpu: u64,
    /// Able to run, and waiting for a CPU.
    pub runnable: u64,
    /// Waiting for something else, by what.
    pub blocked: BTreeMap<Wait, u64>,
    /// Not sampled.
    pub unattributed: u64,
}

impl From<TimeParts> for TimeSummary {
    fn from(parts: TimeParts) -> Self {
        Self {
            on_cpu: parts.on_cpu,
            runnable: parts.runnable,
            blocked: parts.blocked,
            unattributed: parts.unattributed,
        }
    }
}

/// What the probes cost the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Time that the probes of all calls took, what they record, and probes on the runtime of the
    /// language, as a share of the time of one CPU; 0 when their cost was not measured.
    pub share_of_cpu: f64,
}

/// Calls recorded in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Kept.
    pub recorded: u64,
    /// Lost, whatever the cause.
    pub dropped: u64,
}

impl Summary {
    /// Puts the answers together; `breakdowns` may be missing for any function.
    pub fn new(
        overview: Overview,
        functions: Vec<FunctionRow>,
        breakdowns: Vec<Breakdown>,
    ) -> Self {
        let mut times: BTreeMap<u32, Breakdown> = breakdowns
            .into_iter()
            .map(|breakdown| (breakdown.function, breakdown))
            .collect();
        let duration_ns = overview.duration_ns();
        Self {
            duration_ns,
            events: Events {
                recorded: overview.recorded,
                dropped: overview.dropped(),
            },
            target: TargetSummary {
                path: overview.target,
                pids: overview.pids,
                language: overview.language,
            },
            overhead: Overhead {
                share_of_cpu: share_of_cpu(&functions, duration_ns) + overview.beside_share,
            },
            functions: functions
                .into_iter()
                .map(|row| {
                    let times = times.remove(&row.id);
                    FunctionSummary::new(row, times)
                })
                .collect(),
            warnings: overview.warnings,
        }
    }
}

impl FunctionSummary {
    fn new(row: FunctionRow, times: Option<Breakdown>) -> Self {
        let (total, own) = times.map(|times| (times.total, times.own)).unzip();
        Self {
            name: row.name,
            calls: row.calls,
            calls_error: row.calls_error,
            estimated: row.calls_error > 0,
            timed: row.timed,
            unwound: row.unwound,
            in_flight: row.in_flight,
            unmatched: row.unmatched,
            latency_ns: row.latency_ns,
            self_ns: row.self_ns,
            time_ns: total.map(TimeSummary::from),
            self_time_ns: own.map(TimeSummary::from),
            probe: row.probe,
        }
    }
}
