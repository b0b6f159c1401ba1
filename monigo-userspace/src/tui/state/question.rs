//! What the screen asks the query layer, and the answers as they come in.

use super::{Span, Unit, detail::DetailKey, detail::Part};
use crate::{
    query::{Breakdown, CallKey, Frame, FunctionRow, Overview, Root, Story, Window},
    service::Metrics,
};

/// A set of things to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u16);

impl Parts {
    /// Overview and function table.
    pub const TABLE: Self = Self(1);
    /// Latency histogram of the selected function.
    pub const HISTOGRAM: Self = Self(1 << 1);
    /// Rate and p99 over time.
    pub const SERIES: Self = Self(1 << 2);
    /// Heaviest stacks.
    pub const STACKS: Self = Self(1 << 3);
    /// Slowest calls.
    pub const CALLS: Self = Self(1 << 4);
    /// One stack by its id.
    pub const STACK: Self = Self(1 << 5);

    /// Flame graph.
    pub const FLAME: Self = Self(1 << 6);
    /// Slow calls against fast ones.
    pub const TAIL: Self = Self(1 << 7);
    /// What happened during one call.
    pub const STORY: Self = Self(1 << 8);

    /// Nothing.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Parts {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Parts {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One round of questions.
#[derive(Clone, Debug)]
pub struct Question {
    /// Counts up; comes back in [`Answer::Done`].
    pub serial: u64,
    /// What to ask.
    pub parts: Parts,
    /// Over which interval.
    pub window: Window,
    /// The choice that `window` came from.
    pub span: Span,
    /// Selected function.
    pub function: Option<u32>,
    /// Most steps of a series.
    pub points: u32,
    /// What stacks are weighed by.
    pub unit: Unit,
    /// Where flame graphs begin.
    pub root: Root,
    /// Stack id for [`Parts::STACK`].
    pub stack: Option<u64>,
    /// The call for [`Parts::STORY`].
    pub story: Option<CallKey>,
}

/// A piece of the answers to a [`Question`], sent as soon as it is there.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The session.
    Overview(Box<Overview>),
    /// What the service and the host use.
    Metrics(Box<Metrics>),
    /// The function table.
    Functions {
        /// The choice that was asked for.
        span: Span,
        /// The rows.
        rows: Vec<FunctionRow>,
    },
    /// Where the time of functions went.
    Breakdown {
        /// The choice that was asked for.
        span: Span,
        /// By function.
        rows: Vec<Breakdown>,
    },
    /// Something about one function.
    Part {
        /// What it is about.
        key: DetailKey,
        /// The answer.
        part: Part,
    },
    /// One stack.
    Stack {
        /// Its id.
        id: u64,
        /// Innermost first.
        frames: Vec<Frame>,
    },
    /// What happened during one call.
    Story {
        /// The call.
        key: CallKey,
        /// The answer.
        story: Box<Story>,
    },
    /// A question failed; the others of the round are still answered.
    Failed(String),
    /// The round is over.
    Done {
        /// Of the question.
        serial: u64,
        /// Whether a part failed.
        failed: bool,
    },
}

impl Answer {
    /// About the session.
    pub fn of_session(overview: Overview) -> Self {
        Self::Overview(Box::new(overview))
    }
}
