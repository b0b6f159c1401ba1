//! A made-up recording: log-normal latencies that drift, kept as histograms per flush like the
//! real store keeps them, so that every view adds up.

use std::{
    f64::consts::TAU,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use monigo::query::{Call, QueryError, Selection, Window};

use super::{counts::Counts, random::Random, stacks};

/// One call in this many is kept in full.
pub const SAMPLE_EVERY: u32 = 64;

/// A function and its calls.
pub struct Shape {
    pub name: String,
    pub file: String,
    pub line: u32,
    /// Calls a second.
    pub rate: f64,
    pub median_ns: f64,
    /// Standard deviation of the duration's logarithm.
    pub spread: f64,
}

/// What is to be made up.
pub struct Plan {
    pub shapes: Vec<Shape>,
    /// Time between flushes.
    pub flush: Duration,
    /// How much there is already.
    pub past: Duration,
    /// Nothing is called, as right after attaching; there is no past either.
    pub empty: bool,
    /// Asked before each overview, with the number of flushes: it may take its time, or fail.
    pub before_overview: fn(usize) -> Result<(), QueryError>,
}

/// What happened between two flushes.
pub(super) struct Interval {
    pub start_ns: i64,
    pub end_ns: i64,
    /// By function, as `unwound`.
    pub counts: Vec<Counts>,
    pub unwound: Vec<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub intervals: Vec<Interval>,
    pub calls: Vec<Call>,
    /// Calls that were to be kept and were not.
    pub lost: u64,
    pub ended_ns: Option<i64>,
    random: Random,
}

/// The recording.
pub struct Recording {
    pub(super) plan: Plan,
    pub(super) started_ns: i64,
    pub(super) flush_ns: i64,
    state: Mutex<State>,
}

impl Recording {
    /// Begins as long ago as planned.
    pub fn new(plan: Plan) -> Self {
        let flush_ns = plan.flush.as_nanos() as i64;
        let past_ns = if plan.empty {
            0
        } else {
            plan.past.as_nanos() as i64
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as i64);
        let recording = Self {
            plan,
            started_ns: now - past_ns,
            flush_ns,
            state: Mutex::default(),
        };
        for _ in 0..past_ns / flush_ns {
            recording.flush();
        }
        recording
    }

    /// When it began, Unix time in ns.
    pub fn started_ns(&self) -> i64 {
        self.started_ns
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the recording in order.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended_ns = Some(self.last_ns(&state));
    }

    /// Time of the last flush, Unix time in ns.
    pub(super) fn last_ns(&self, state: &State) -> i64 {
        self.started_ns + state.intervals.len() as i64 * self.flush_ns
    }

    /// Length of a window as far as there are measurements, s.
    pub(super) fn seconds(&self, state: &State, window: Window) -> f64 {
        let from = window
            .from_ns
            .unwrap_or(self.started_ns)
            .max(self.started_ns);
        let last = self.last_ns(state);
        let to = window.to_ns.unwrap_or(last).min(last);
        ((to - from) as f64 / 1e9).max(0.001)
    }

    /// Makes up one more interval.
    pub fn flush(&self) {
        let mut state = self.state();
        let start_ns = self.last_ns(&state);
        let functions = self.plan.shapes.len();
        let mut interval = Interval {
            start_ns,
            end_ns: start_ns + self.flush_ns,
            counts: vec![Counts::default(); functions],
            unwound: vec![0; functions],
        };
        if !self.plan.empty {
            for (index, shape) in self.plan.shapes.iter().enumerate() {
                self.make_calls(&mut state, &mut interval, index, shape);
            }
            if state.random.uniform() < 0.4
                && let Some(unwound) = interval.unwound.get_mut(1)
            {
                *unwound = 1 + (state.random.uniform() * 3.0) as u64;
            }
            if state.intervals.len().is_multiple_of(50) {
                state.lost += 17;
            }
        }
        state.intervals.push(interval);
    }

    fn make_calls(&self, state: &mut State, interval: &mut Interval, index: usize, shape: &Shape) {
        let time = (interval.start_ns - self.started_ns) as f64 / 1e9;
        let wave = 1.0 + 0.25 * (time * TAU / 47.0 + index as f64).sin();
        let drift = 1.0 + 0.3 * (time * TAU / 120.0).sin();
        // Every 90 s something holds a lock: the tail grows for a while.
        let jam = if time % 90.0 > 70.0 { 2.2 } else { 1.0 };
        let expected = shape.rate * wave * self.flush_ns as f64 / 1e9;
        let calls = expected as u64 + u64::from(state.random.uniform() < expected.fract());
        for number in 0..calls {
            let is_slow = state.random.uniform() < 0.01 * jam;
            let slow = if is_slow { 6.0 * jam } else { 1.0 };
            let typical = shape.median_ns * drift * slow;
            let spread = (shape.spread * state.random.normal()).exp();
            let duration_ns = (typical * spread).max(20.0) as u64;
            interval.counts[index].add(duration_ns);
            let in_jam = slow > 6.0;
            if number % u64::from(SAMPLE_EVERY) == 0 || in_jam {
                let weight = if in_jam { 1 } else { SAMPLE_EVERY };
                let call = state.call(index, interval, duration_ns, weight);
                state.calls.push(call);
            }
        }
    }
}

impl State {
    fn call(&mut self, index: usize, interval: &Interval, duration_ns: u64, weight: u32) -> Call {
        let tid = 4242 + (self.random.uniform() * 6.0) as u32;
        let length = (interval.end_ns - interval.start_ns) as f64;
        Call {
            function: index as u32,
            start_ns: interval.start_ns + (self.random.uniform() * length) as i64,
            duration_ns,
            probes_ns: 0,
            pid: 4242,
            tid,
            goid: Some(18 + (self.random.uniform() * 400.0) as u64),
            cpu: tid % 2,
            weight,
            stack: Some(stacks::id(index, self.random.uniform())),
        }
    }

    /// Whole intervals inside the window.
    pub fn inside(&self, window: Window) -> impl Iterator<Item = &Interval> {
        self.intervals.iter().filter(move |interval| {
            window.from_ns.is_none_or(|from| interval.end_ns > from)
                && window.to_ns.is_none_or(|to| interval.end_ns <= to)
        })
    }

    /// The same in at most `most` groups.
    pub fn groups(&self, window: Window, most: u32) -> Vec<Vec<&Interval>> {
        let inside: Vec<&Interval> = self.inside(window).collect();
        let each = inside.len().div_ceil(most.max(1) as usize).max(1);
        inside.chunks(each).map(<[_]>::to_vec).collect()
    }

    /// Calls that were kept.
    pub fn selected(&self, selection: &Selection) -> impl Iterator<Item = &Call> {
        let Selection {
            function, window, ..
        } = *selection;
        let (least, most) = (selection.slower_than_ns, selection.faster_than_ns);
        self.calls.iter().filter(move |call| {
            least.is_none_or(|ns| call.duration_ns >= ns)
                && most.is_none_or(|ns| call.duration_ns < ns)
                && function.is_none_or(|function| call.function == function)
                && window.from_ns.is_none_or(|from| call.start_ns >= from)
                && window.to_ns.is_none_or(|to| call.start_ns < to)
        })
    }
}
