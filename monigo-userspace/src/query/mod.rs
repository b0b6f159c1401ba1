//! The questions that every view asks, and their answers.
//!
//! TUI, dashboard, CLI tables and exports all go through [`Source`]. There are two: one over an
//! open store, one over the socket of a running monigo that holds the store.

mod answers;
mod blocks;
mod breakdown;
mod columns;
mod compare;
mod diff;
mod duck;
mod error;
mod figures;
mod flame;
mod lasting;
mod open;
mod readings;
pub mod remote;
mod samples;
mod select;
mod selected;
mod session;
mod sessions;
mod source;
mod sql;
mod stacks;
mod steps;
mod story;
mod tail;
#[cfg(test)]
mod tests;
mod timeline;
mod totals;
mod warnings;

use serde::{Deserialize, Serialize};

pub use self::{
    answers::{
        Bucket, Call, FlameNode, FunctionRow, Heatmap, InstanceRow, Latency, LossRow, Overview,
        ProbeRow, SeriesPoint, SinceStart, StackRow, Weight, share_of_cpu,
    },
    breakdown::{Breakdown, TimeParts},
    compare::{
        CompareQuestion, Comparison, DiffUnit, Figures, FunctionChange, Part, PartSummary, compare,
    },
    diff::DiffNode,
    duck::DuckSource,
    error::QueryError,
    figures::{CallSpan, Selected, SelectedFigures},
    lasting::Lasting,
    open::{OpenError, open_source},
    readings::{ReadingsPoint, ReadingsQuestion, Storage},
    samples::Activity,
    select::{Percentile, Root, Selection},
    sessions::{SessionRow, Standing, sessions},
    source::Source,
    sql::Table,
    story::{CallKey, NestedCall, Story, StoryEvent},
    tail::{CallGroup, Cause, Tail, TailQuestion, phrase},
    timeline::{FunctionLatency, LatencyPoint, LatencyQuestion},
};
pub use crate::store::{ExitProbe, Frame, Wait};

/// A half-open interval of Unix time in ns; `None` is the session's start or end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant inside.
    pub from_ns: Option<i64>,
    /// First instant outside.
    pub to_ns: Option<i64>,
}
