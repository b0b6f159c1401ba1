//! Calls recorded in full, their stacks, and flame graphs of them.

use serde::{Deserialize, Serialize};

use crate::store::Frame;

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
    /// Stack id for [`Source::stack`](crate::query::Source::stack).
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
