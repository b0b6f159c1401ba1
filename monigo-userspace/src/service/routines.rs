//! Goroutines, or threads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Frame;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoutineKind {
    /// Of the Go runtime.
    Goroutines,
    /// Of the kernel.
    Threads,
}

/// All goroutines or threads at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Routines {
    /// What is listed.
    pub kind: RoutineKind,
    /// When they were read, RFC 3339 in UTC.
    pub time: String,
    /// How many there are, also beyond those listed; threads when not Go.
    pub number_of_goroutines: u64,
    /// Why something is missing from the list; one sentence each.
    pub remarks: Vec<String>,
    /// Groups of the same state and stack, largest first.
    pub groups: Vec<RoutineGroup>,
}

/// Goroutines or threads in the same state with the same stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoutineGroup {
    /// Hash of state and stack, hex; the same in every look.
    pub signature: String,
    /// `running`, `runnable`, `waiting`, `syscall` …
    pub state: String,
    /// What is waited for, in the runtime's or kernel's words; empty for none.
    pub wait_reason: String,
    /// How many.
    pub count: u64,
    /// Of the one that waits longest, whole minutes; `None` when not known.
    pub blocked_minutes: Option<u64>,
    /// Change of `count` since the first of the looks that are kept.
    pub growth: i64,
    /// Waits for more than 10 minutes.
    pub stale: bool,
    /// Rose in each of the last 5 looks: a leak is likely.
    pub growing: bool,
    /// Function names with file and line where known, innermost first.
    pub call_stack: Vec<String>,
    /// Where the goroutines were created; empty when not known.
    pub created_by: String,
    /// Ids of up to 20 of them.
    pub ids: Vec<u64>,
    /// Names of up to 20 threads; empty for goroutines, which have none.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A frame as [`RoutineGroup::call_stack`] has it: `main.worker (/src/main.go:42)`.
pub(crate) fn frame_text(frame: &Frame) -> String {
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{} ({file}:{line})", frame.function),
        (Some(file), None) => format!("{} ({file})", frame.function),
        (None, _) => frame.function.clone(),
    }
}
