//! The functions that are traced: their figures, and how they are probed.

use serde::{Deserialize, Serialize};

use super::{Bucket, Latency};
use crate::{plan::CostClass, store::ExitProbe};

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
