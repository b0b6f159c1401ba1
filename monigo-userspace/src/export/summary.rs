//! The summary as one JSON object: the contract of `--format json` and `-o FILE.json`.

use serde::{Deserialize, Serialize};

use crate::{
    query::{FunctionRow, Latency, Overview, ProbeRow, share_of_cpu},
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
    /// How it was probed.
    pub probe: ProbeRow,
}

/// What the probes cost the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Time that the probes of all calls took, as a share of the time of one CPU; 0 when their
    /// cost was not measured.
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

impl From<(Overview, Vec<FunctionRow>)> for Summary {
    fn from((overview, functions): (Overview, Vec<FunctionRow>)) -> Self {
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
                share_of_cpu: share_of_cpu(&functions, duration_ns),
            },
            functions: functions.into_iter().map(FunctionSummary::from).collect(),
            warnings: overview.warnings,
        }
    }
}

impl From<FunctionRow> for FunctionSummary {
    fn from(row: FunctionRow) -> Self {
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
            probe: row.probe,
        }
    }
}
