//! What the screen shows, apart from how it is drawn.

mod detail;
mod discovery;
mod flame;
mod question;
mod table;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

pub use self::{
    detail::{Detail, DetailKey, Overlay, Part, Tab, Unit},
    discovery::DiscoveryPane,
    flame::{FlameFrame, FlamePane, Step, is_inside},
    question::{Answer, Parts, Question},
    table::{Column, TableState},
};
use super::{Phase, Status};
use crate::{
    query::{Breakdown, FunctionRow, Overview, Window},
    service::Metrics,
};

/// Answers that take longer than this many flush intervals (and at least [`LATE_AT_LEAST`]) are
/// called late.
const LATE_FLUSHES: i64 = 2;
/// Lower bound for calling an answer late.
const LATE_AT_LEAST: Duration = Duration::from_secs(2);
/// Steps of a time series asked for before the first drawing has told how many fit.
const DEFAULT_POINTS: u32 = 80;

/// Which part of the session the figures cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// Since the start.
    #[default]
    All,
    /// The last ten seconds.
    TenSeconds,
    /// The last minute.
    Minute,
    /// The last five minutes.
    FiveMinutes,
}

impl Span {
    /// The next choice, in a circle.
    pub const fn next(self) -> Self {
        match self {
            Self::All => Self::TenSeconds,
            Self::TenSeconds => Self::Minute,
            Self::Minute => Self::FiveMinutes,
            Self::FiveMinutes => Self::All,
        }
    }

    /// As shown in the header.
    pub const fn label(self) -> &'static str {
        match self {
            Self::All => "whole session",
            Self::TenSeconds => "last 10 s",
            Self::Minute => "last 1 min",
            Self::FiveMinutes => "last 5 min",
        }
    }

    const fn length_ns(self) -> Option<i64> {
        match self {
            Self::All => None,
            Self::TenSeconds => Some(10_000_000_000),
            Self::Minute => Some(60_000_000_000),
            Self::FiveMinutes => Some(300_000_000_000),
        }
    }
}

/// Which pane the arrow keys move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// The function table.
    #[default]
    Table,
    /// The detail of the selected function.
    Detail,
}

/// Since when the picture stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When the key was pressed, Unix time in ns.
    pub since_ns: i64,
    /// The newest data on screen, Unix time in ns; questions asked while paused stop here.
    pub data_ns: i64,
}

/// The clocks, read once per drawing so that a drawing is a pure function.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub monotonic: Instant,
    /// Unix time in ns.
    pub unix_ns: i64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self {
            monotonic: Instant::now(),
            unix_ns: crate::collect::unix_ns(),
        }
    }
}

/// A question on its way.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    serial: u64,
    asked: Instant,
}

/// Sizes that the last drawing found; input and questions depend on them.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Rows of the function table.
    pub table_rows: usize,
    /// Rows of the list in the detail pane (stacks or calls).
    pub list_rows: usize,
    /// Rows of the frame list in the stacks pane.
    pub frame_rows: usize,
    /// Rows of an overlay's text.
    pub overlay_rows: usize,
    /// Lines an overlay's text has.
    pub overlay_lines: usize,
    /// Steps of a time series that fit.
    pub points: u32,
    /// Latency and time panes are both on screen.
    pub charts_together: bool,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            table_rows: 1,
            list_rows: 1,
            frame_rows: 1,
            overlay_rows: 1,
            overlay_lines: 1,
            points: DEFAULT_POINTS,
            charts_together: false,
        }
    }
}

/// Everything on the screen.
pub struct App {
    /// The session, once the first answer is in.
    pub overview: Option<Overview>,
    /// Every function of the session over the window, as answered.
    pub functions: Vec<FunctionRow>,
    /// The selected function.
    pub detail: Detail,
    /// What the service and the host use, where that is known.
    pub metrics: Option<Box<Metrics>>,
    /// What the recording side says of itself.
    pub status: Status,
    /// Whether the recording goes on.
    pub phase: Phase,
    /// Why the last question failed, if it did.
    pub problem: Option<String>,
    /// Failures of other parts of monigo while the screen was taken.
    pub panics: Vec<String>,
    /// Where the time of functions went.
    pub breakdowns: Vec<Breakdown>,
    /// Sorting, filter and selection.
    pub table: TableState,
    /// Which pane the arrow keys move in.
    pub focus: Focus,
    /// The focused pane fills the screen.
    pub zoom: bool,
    /// What lies over the panes.
    pub overlay: Option<Overlay>,
    /// Scroll position of the overlay, lines.
    pub overlay_scroll: usize,
    /// What functions there are to trace.
    pub discovery: DiscoveryPane,
    /// Which part of the session the figures cover.
    pub span: Span,
    /// Whether the picture stands still.
    pub pause: Option<Pause>,
    /// Clocks of this drawing.
    pub now: Now,
    /// Time zone that times of day are shown in.
    pub zone: TimeZone,
    /// Sizes of the last drawing.
    pub measured: Measured,
    wanted: Parts,
    serial: u64,
    outstanding: Option<Outstanding>,
}

impl App {
    /// An empty screen that wants to ask everything.
    pub fn new(status: Status, phase: Phase, zone: TimeZone) -> Self {
        Self {
            overview: None,
            functions: Vec::new(),
            detail: Detail::default(),
            metrics: None,
            status,
            phase,
            problem: None,
            panics: Vec::new(),
            breakdowns: Vec::new(),
            table: TableState::default(),
            focus: Focus::default(),
            zoom: false,
            overlay: None,
            overlay_scroll: 0,
            discovery: DiscoveryPane::default(),
            span: Span::default(),
            pause: None,
            now: Now::read(),
            zone,
            measured: Measured::default(),
            wanted: Parts::TABLE,
            serial: 0,
            outstanding: None,
        }
    }

    /// The row of the selected function.
    pub fn selected(&self) -> Option<&FunctionRow> {
        let id = self.table.selected?;
        self.functions.iter().find(|row| row.id == id)
    }

    /// Where the time of the selected function went, if that is known.
    pub fn breakdown(&self) -> Option<&Breakdown> {
        let id = self.table.selected?;
        let mut known = self.breakdowns.iter();
        known.find(|breakdown| breakdown.function == id && breakdown.total.wall > 0)
    }

    /// Below this a duration of `function` cannot be told from none, ns.
    pub fn floor_ns(&self, function: u32) -> u32 {
        let row = self.functions.iter().find(|row| row.id == function);
        row.map_or(0, |row| row.probe.floor_ns)
    }

    /// Whether no call has ended or begun yet in the window.
    pub fn is_silent(&self) -> bool {
        self.functions
            .iter()
            .all(|row| row.calls == 0 && row.unwound == 0 && row.in_flight == 0)
    }

    /// Whether the recording is over.
    pub fn ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
            || self
                .overview
                .as_ref()
                .is_some_and(|it| it.ended_ns.is_some())
    }

    /// Newest data there can be, Unix time in ns.
    pub fn data_ns(&self) -> i64 {
        self.overview
            .as_ref()
            .and_then(|it| it.last_flush_ns.or(it.ended_ns))
            .unwrap_or(self.now.unix_ns)
    }

    /// The interval that the figures cover.
    pub fn window(&self) -> Window {
        // A window is half open and a flush is stamped with its end, hence the 1 ns.
        let end = self.pause.map_or_else(|| self.data_ns(), |it| it.data_ns) + 1;
        Window {
            from_ns: self.span.length_ns().map(|length| end - length),
            to_ns: self.pause.map(|_| end),
        }
    }

    /// How long the oldest unanswered question has been waiting, when that is too long.
    pub fn late(&self) -> Option<Duration> {
        let asked = self.outstanding?.asked;
        let flush_ns = self.overview.as_ref().map_or(0, |it| it.flush_ns);
        let patience = Duration::from_nanos((flush_ns.max(0) * LATE_FLUSHES) as u64);
        let waited = self.now.monotonic.saturating_duration_since(asked);
        (waited > patience.max(LATE_AT_LEAST)).then_some(waited)
    }

    /// Switches between standing still and live.
    pub fn toggle_pause(&mut self) {
        if self.pause.take().is_some() {
            self.want_all();
        } else {
            self.pause = Some(Pause {
                since_ns: self.now.unix_ns,
                data_ns: self.data_ns(),
            });
        }
    }

    /// New data has been flushed.
    pub fn flushed(&mut self) {
        if self.pause.is_none() {
            self.want_all();
        }
    }

    /// Asks the table and the visible detail again.
    pub fn want_all(&mut self) {
        self.wanted |= Parts::TABLE;
        self.want_detail();
    }

    /// Asks the visible detail again.
    pub fn want_detail(&mut self) {
        self.wanted |= match self.detail.tab {
            Tab::Latency | Tab::Time if self.measured.charts_together => {
                Parts::HISTOGRAM | Parts::SERIES
            }
            Tab::Latency => Parts::HISTOGRAM,
            Tab::Time => Parts::SERIES,
            Tab::Stacks => Parts::STACKS,
            Tab::Calls => Parts::CALLS,
            Tab::Flame => Parts::FLAME,
            Tab::Why => Parts::TAIL,
        };
    }

    /// Asks for one stack, for the overlay.
    pub fn want_stack(&mut self) {
        self.wanted |= Parts::STACK;
    }

    /// Asks for what happened during one call, for the overlay.
    pub fn want_story(&mut self) {
        self.wanted |= Parts::STORY;
    }

    /// The next question to send, unless one is on its way or nothing is wanted.
    pub fn next_question(&mut self) -> Option<Question> {
        if self.outstanding.is_some() || self.wanted.is_empty() {
            return None;
        }
        self.serial += 1;
        self.outstanding = Some(Outstanding {
            serial: self.serial,
            asked: self.now.monotonic,
        });
        let stack = match &self.overlay {
            Some(Overlay::Stack { id, .. }) => *id,
            _ => None,
        };
        let story = match &self.overlay {
            Some(Overlay::Story { key, .. }) => Some(*key),
            _ => None,
        };
        let question = Question {
            serial: self.serial,
            parts: self.wanted,
            window: self.window(),
            span: self.span,
            function: self.table.selected,
            points: self.measured.points,
            unit: self.detail.unit,
            root: self.detail.root(),
            stack,
            story,
        };
        self.wanted = Parts::empty();
        Some(question)
    }

    /// Takes in (part of) an answer.
    pub fn accept(&mut self, answer: Answer) {
        match answer {
            Answer::Overview(overview) => self.overview = Some(*overview),
            Answer::Metrics(metrics) => self.metrics = Some(metrics),
            Answer::Functions { span, rows } => {
                if span != self.span {
                    return;
                }
                let first = self.table.selected.is_none();
                self.functions = rows;
                self.reselect();
                if first && self.table.selected.is_some() {
                    self.want_detail();
                }
            }
            Answer::Breakdown { span, rows } => {
                if span == self.span {
                    self.breakdowns = rows;
                }
            }
            Answer::Part { key, part } => {
                if Some(key.function) == self.table.selected
                    && key.span == self.span
                    && key.unit == self.detail.unit
                    && key.root == self.detail.root()
                {
                    self.detail.accept(key, part);
                }
            }
            Answer::Stack { id, frames } => {
                if let Some(Overlay::Stack {
                    id: shown,
                    frames: slot,
                    ..
                }) = &mut self.overlay
                    && *shown == Some(id)
                {
                    *slot = Some(Arc::new(frames));
                }
            }
            Answer::Story { key, story } => {
                if let Some(Overlay::Story {
                    key: shown,
                    story: slot,
                }) = &mut self.overlay
                    && *shown == key
                {
                    *slot = Some(Arc::from(story));
                }
            }
            Answer::Failed(reason) => self.problem = Some(reason),
            Answer::Done { serial, failed } => {
                if !failed {
                    self.problem = None;
                }
                if self.outstanding.is_some_and(|it| it.serial == serial) {
                    self.outstanding = None;
                }
            }
        }
    }

    /// Makes the selection point at a visible row again after rows or filter changed.
    pub fn reselect(&mut self) {
        let visible = self.table.visible(&self.functions);
        let still = self
            .table
            .selected
            .is_some_and(|id| visible.iter().any(|&row| self.functions[row].id == id));
        if !still {
            self.table.selected = visible.first().map(|&row| self.functions[row].id);
            self.detail.scroll_home();
        }
    }
}
