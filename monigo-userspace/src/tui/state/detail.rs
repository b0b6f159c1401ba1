//! The selected function, and what may lie over the panes.

use std::sync::Arc;

use super::{FlameFrame, FlamePane, Span};
use crate::query::{
    Bucket, Call, CallKey, FlameNode, Frame, Root, SeriesPoint, StackRow, Story, Tail, Weight,
};

/// Parts of the detail pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Latency histogram.
    #[default]
    Latency,
    /// Rate and p99 over time.
    Time,
    /// Heaviest stacks.
    Stacks,
    /// Slowest calls.
    Calls,
    /// Flame graph.
    Flame,
    /// Slow calls against fast ones.
    Why,
}

impl Tab {
    /// Every tab, from the left.
    pub const ALL: [Self; 6] = [
        Self::Latency,
        Self::Time,
        Self::Stacks,
        Self::Calls,
        Self::Flame,
        Self::Why,
    ];

    /// As shown.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Latency => "Latency",
            Self::Time => "Time",
            Self::Stacks => "Stacks",
            Self::Calls => "Calls",
            Self::Flame => "Flame",
            Self::Why => "Why",
        }
    }

    /// The tab `by` places to the right (or left, when negative), in a circle.
    pub fn step(self, by: isize) -> Self {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self as isize + by).rem_euclid(count) as usize]
    }
}

/// What stacks are weighed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Wall-clock time.
    #[default]
    Time,
    /// Number of calls.
    Calls,
    /// Time running.
    Cpu,
    /// Time off CPU.
    OffCpu,
}

impl Unit {
    /// The one after it.
    pub const fn next(self) -> Self {
        match self {
            Self::Time => Self::Calls,
            Self::Calls => Self::Cpu,
            Self::Cpu => Self::OffCpu,
            Self::OffCpu => Self::Time,
        }
    }

    /// For the query layer.
    pub const fn weight(self) -> Weight {
        match self {
            Self::Time => Weight::Wall,
            Self::Calls => Weight::Calls,
            Self::Cpu => Weight::Cpu,
            Self::OffCpu => Weight::OffCpu,
        }
    }
}

/// What an answer about a function depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailKey {
    /// Function id.
    pub function: u32,
    /// Part of the session.
    pub span: Span,
    /// What stacks are weighed by.
    pub unit: Unit,
    /// Where flame graphs begin.
    pub root: Root,
}

/// An answer about one function.
#[derive(Clone, Debug)]
pub enum Part {
    /// Its histogram.
    Histogram(Vec<Bucket>),
    /// Its rate and latency over time.
    Series(Vec<SeriesPoint>),
    /// Its heaviest stacks.
    Stacks(Vec<StackRow>),
    /// Its slowest calls.
    Calls(Vec<Call>),
    /// Its flame graph.
    Flame(FlameNode),
    /// Its slow calls against its fast ones.
    Tail(Box<Tail>),
}

/// The selected function. Answers are `None` until they are in.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Which tab is open.
    pub tab: Tab,
    /// What stacks are weighed by.
    pub unit: Unit,
    /// Histogram bars are as long as the logarithm of their count.
    pub log_bars: bool,
    /// Position in the list of stacks or calls.
    pub cursor: usize,
    /// First frame shown in the stacks pane.
    pub frame_scroll: usize,
    /// First row shown of the list.
    pub offset: usize,
    /// Flame graph.
    pub flame: FlamePane,
    key: Option<DetailKey>,
    histogram: Option<Vec<Bucket>>,
    series: Option<Vec<SeriesPoint>>,
    stacks: Option<Vec<StackRow>>,
    calls: Option<Vec<Call>>,
    tail: Option<Box<Tail>>,
}

impl Detail {
    /// Where the flame graph begins. How often a function was called is a question about its callers.
    pub fn root(&self) -> Root {
        if self.flame.callers || self.unit == Unit::Calls {
            Root::Callers
        } else {
            Root::Function
        }
    }

    /// Takes in an answer; answers about something else are forgotten.
    pub fn accept(&mut self, key: DetailKey, part: Part) {
        if self.key != Some(key) {
            self.forget();
            self.key = Some(key);
        }
        match part {
            Part::Histogram(it) => self.histogram = Some(it),
            Part::Series(it) => self.series = Some(it),
            Part::Stacks(it) => {
                if self.tab == Tab::Stacks {
                    let before = self.stacks.take().unwrap_or_default();
                    self.follow(&before, &it, |row| row.id);
                }
                self.stacks = Some(it);
            }
            Part::Calls(it) => {
                if self.tab == Tab::Calls {
                    let identity = |call: &Call| (call.start_ns, call.pid, call.tid);
                    let before = self.calls.take().unwrap_or_default();
                    self.follow(&before, &it, identity);
                }
                self.calls = Some(it);
            }
            Part::Flame(it) => self.flame.accept(&it),
            Part::Tail(it) => self.tail = Some(it),
        }
        let length = self.list_len();
        self.cursor = self.cursor.min(length.saturating_sub(1));
    }

    /// Keeps the cursor on its row when others come in above it. On the first row it stays there:
    /// that is the slowest call or the heaviest stack, whichever it is.
    fn follow<T, I: PartialEq>(&mut self, before: &[T], after: &[T], identity: impl Fn(&T) -> I) {
        let Some(row) = before.get(self.cursor).filter(|_| self.cursor > 0) else {
            return;
        };
        let wanted = identity(row);
        if let Some(at) = after.iter().position(|row| identity(row) == wanted) {
            self.cursor = at;
        }
    }

    /// Drops the answers.
    pub fn forget(&mut self) {
        self.key = None;
        self.histogram = None;
        self.series = None;
        self.stacks = None;
        self.calls = None;
        self.flame.forget();
        self.tail = None;
    }

    fn is_about(&self, key: DetailKey) -> bool {
        self.key == Some(key)
    }

    /// Histogram of `key`, if in.
    pub fn histogram(&self, key: DetailKey) -> Option<&[Bucket]> {
        self.histogram.as_deref().filter(|_| self.is_about(key))
    }

    /// Series of `key`, if in.
    pub fn series(&self, key: DetailKey) -> Option<&[SeriesPoint]> {
        self.series.as_deref().filter(|_| self.is_about(key))
    }

    /// Stacks of `key`, if in.
    pub fn stacks(&self, key: DetailKey) -> Option<&[StackRow]> {
        self.stacks.as_deref().filter(|_| self.is_about(key))
    }

    /// Slowest calls of `key`, if in.
    pub fn calls(&self, key: DetailKey) -> Option<&[Call]> {
        self.calls.as_deref().filter(|_| self.is_about(key))
    }

    /// Frames of the flame graph of `key`, if in.
    pub fn flame(&self, key: DetailKey) -> Option<&[FlameFrame]> {
        self.flame.frames().filter(|_| self.is_about(key))
    }

    /// Slow calls of `key` against fast ones, if in.
    pub fn tail(&self, key: DetailKey) -> Option<&Tail> {
        self.tail.as_deref().filter(|_| self.is_about(key))
    }

    /// Rows of the open tab's list; 0 for a tab without one.
    pub fn list_len(&self) -> usize {
        match self.tab {
            Tab::Latency | Tab::Time | Tab::Flame => 0,
            Tab::Stacks => self.stacks.as_ref().map_or(0, Vec::len),
            Tab::Calls => self.calls.as_ref().map_or(0, Vec::len),
            Tab::Why => self.tail.as_ref().map_or(0, |tail| tail.causes.len()),
        }
    }

    /// Opens a tab.
    pub fn open(&mut self, tab: Tab) {
        if self.tab != tab {
            self.tab = tab;
            self.scroll_home();
        }
    }

    /// Back to the first row.
    pub fn scroll_home(&mut self) {
        self.cursor = 0;
        self.offset = 0;
        self.frame_scroll = 0;
    }

    /// The story of the call under the cursor.
    pub fn story(&self) -> Option<Overlay> {
        let call = self.calls.as_ref().filter(|_| self.tab == Tab::Calls)?;
        let key = CallKey::from(call.get(self.cursor)?);
        Some(Overlay::Story { key, story: None })
    }

    /// What the cursor is on, as an overlay.
    pub fn overlay(&self) -> Option<Overlay> {
        match self.tab {
            Tab::Latency | Tab::Time | Tab::Flame => None,
            Tab::Stacks => {
                let row = self.stacks.as_ref()?.get(self.cursor)?;
                Some(Overlay::Stack {
                    id: Some(row.id),
                    call: None,
                    frames: Some(Arc::new(row.frames.clone())),
                    truncated: row.truncated,
                })
            }
            Tab::Why => {
                let cause = self.tail.as_ref()?.causes.get(self.cursor)?;
                Some(Overlay::Stack {
                    id: Some(cause.stack?),
                    call: None,
                    frames: None,
                    truncated: false,
                })
            }
            Tab::Calls => {
                let call = self.calls.as_ref()?.get(self.cursor)?;
                Some(Overlay::Stack {
                    id: call.stack,
                    call: Some(call.clone()),
                    frames: None,
                    truncated: false,
                })
            }
        }
    }
}

/// What lies over the panes.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// The keys.
    Help,
    /// Warnings and losses.
    Warnings,
    /// Functions that could be traced.
    Discovery,
    /// The bodies of the selected function.
    Instances,
    /// What happened during a call.
    Story {
        /// The call.
        key: CallKey,
        /// `None` until answered.
        story: Option<Arc<Story>>,
    },
    /// One stack.
    Stack {
        /// Its id; `None` when no stack was taken.
        id: Option<u64>,
        /// The call whose stack it is.
        call: Option<Call>,
        /// Innermost first; `None` until answered.
        frames: Option<Arc<Vec<Frame>>>,
        /// Whether the walk ended early.
        truncated: bool,
    },
}
