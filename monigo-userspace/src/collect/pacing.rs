//! Puts a [`Plan`] in force: groups the functions, and opens and closes the time windows.

use std::time::{Duration, Instant};

use super::budget::{Mode, Plan};
use crate::probe::{Kernel, ProbeError, Watch};

/// Time from one window to the next, unless calls are long.
const PERIOD: Duration = Duration::from_secs(1);
/// Shortest window; with a smaller share of the time, windows are rarer.
const SHORTEST: Duration = Duration::from_millis(20);
/// A window lasts as long as this many long calls, for what is open when it closes ends unseen.
const LONG_CALLS: u32 = 20;
/// Longest time from one window to the next that long calls make necessary.
const LONGEST_PERIOD: Duration = Duration::from_secs(10);
/// The same where calls are counted in windows only: estimates need many.
const LONGEST_DUTY_PERIOD: Duration = Duration::from_secs(5);

/// What windows open and close for.
#[derive(Debug)]
struct Subject {
    /// Functions that are watched in the same way.
    group: Option<usize>,
    /// How they are watched while the window is closed.
    closed: Watch,
    /// What goroutines wait for, too.
    parking: bool,
}

impl Subject {
    fn open(&self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        // Waits are parts of calls: they are watched before those begin, and until after they end.
        if self.parking {
            kernel.resume_parking()?;
        }
        self.watch(kernel, Watch::Timed)
    }

    fn watch(&self, kernel: &mut Kernel, watch: Watch) -> Result<(), ProbeError> {
        self.group
            .map_or(Ok(()), |group| kernel.watch(group, watch))
    }

    /// How long a window is open that takes `share` of the time, when a long call takes `long_call`.
    fn window(&self, share: f64, long_call: Duration) -> Duration {
        let longest = if self.closed == Watch::Off {
            LONGEST_DUTY_PERIOD
        } else {
            LONGEST_PERIOD
        };
        let least = (long_call * LONG_CALLS).min(longest.mul_f64(share));
        PERIOD.mul_f64(share).max(least).max(SHORTEST)
    }

    fn close(&self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        let closed = self.watch(kernel, self.closed);
        if self.parking {
            kernel.pause_parking();
        }
        closed
    }
}

/// Windows that open and close in turn.
#[derive(Debug)]
struct Cycle {
    subject: Subject,
    /// Of the time in which windows are open.
    share: f64,
    open: bool,
    changes: Instant,
    started: Instant,
    opened: Instant,
    /// Time open so far, without the window that is open.
    past: Duration,
    /// Time from the start until the last window began.
    until_opened: Duration,
    /// Time that putting probes in place took so far.
    attaching: Duration,
}

impl Cycle {
    fn start(subject: Subject, share: f64, long_call: Duration, now: Instant) -> Self {
        let share = share.clamp(0.001, 1.0);
        Self {
            changes: now + subject.window(share, long_call),
            subject,
            share,
            open: true,
            started: now,
            opened: now,
            past: Duration::ZERO,
            until_opened: Duration::ZERO,
            attaching: Duration::ZERO,
        }
    }

    fn tick(&mut self, kernel: &mut Kernel, long_call: Duration) -> Result<(), ProbeError> {
        if Instant::now() < self.changes {
            return Ok(());
        }
        if self.open {
            // The kernel side stops at the beginning of this call, before links are removed.
            let lasted = self.opened.elapsed();
            self.past += lasted;
            self.open = false;
            self.subject.close(kernel)?;
            self.changes = Instant::now() + lasted.mul_f64(1.0 / self.share - 1.0);
        } else {
            let begun = Instant::now();
            self.subject.open(kernel)?;
            self.open = true;
            self.opened = Instant::now();
            self.attaching += self.opened.duration_since(begun);
            self.until_opened = self.opened.duration_since(self.started);
            self.changes = self.opened + self.subject.window(self.share, long_call);
        }
        Ok(())
    }

    fn open_time(&self) -> Duration {
        let current = if self.open {
            self.opened.elapsed()
        } else {
            Duration::ZERO
        };
        self.past + current
    }

    /// How much longer the whole time is than that in which windows were open.
    fn factor(&self) -> f64 {
        let open = self.past.as_secs_f64();
        if self.until_opened.is_zero() || open <= 0.0 {
            return 1.0 / self.share;
        }
        self.until_opened.as_secs_f64() / open
    }
}

/// Time that windows were open since a plan came in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenTime {
    /// Of functions whose calls are timed in windows.
    pub windows: Duration,
    /// Of functions that are probed in windows.
    pub duty: Duration,
    /// That probes on Go's scheduler were in place for windows of functions: those come first.
    pub parking: Duration,
}

/// The windows of a plan.
#[derive(Debug, Default)]
pub struct Pacer {
    windows: Option<Cycle>,
    duty: Option<Cycle>,
    long_call: Duration,
}

impl Pacer {
    /// Whether there are windows to open and close.
    pub fn has_windows(&self) -> bool {
        self.windows.is_some() || self.duty.is_some()
    }

    /// Puts `plan` in force.
    pub fn apply(&mut self, kernel: &mut Kernel, plan: &Plan) -> Result<(), ProbeError> {
        let mut groups = Vec::new();
        let (mut windows, mut duty) = (None, None);
        for mode in [Mode::Full, Mode::Windows, Mode::Duty, Mode::Off] {
            let ids = plan.ids(mode);
            if ids.is_empty() {
                continue;
            }
            match mode {
                Mode::Windows => windows = Some(groups.len()),
                Mode::Duty => duty = Some(groups.len()),
                Mode::Full | Mode::Off => {}
            }
            let watch = if mode == Mode::Off {
                Watch::Off
            } else {
                Watch::Timed
            };
            groups.push((ids, watch));
        }
        kernel.regroup(groups)?;
        if plan.parking == Mode::Off {
            kernel.pause_parking();
        } else {
            kernel.resume_parking()?;
        }
        let now = Instant::now();
        let start = |group, closed, parking, share| {
            let subject = Subject {
                group,
                closed,
                parking,
            };
            (group.is_some() || parking).then(|| Cycle::start(subject, share, self.long_call, now))
        };
        let parking = plan.parking == Mode::Windows;
        self.windows = start(windows, Watch::Counted, parking, plan.windows);
        self.duty = start(duty, Watch::Off, false, plan.duty);
        Ok(())
    }

    /// Calls that are seldom exceeded last this long now; windows are to be longer.
    pub fn set_long_call(&mut self, long_call: Duration) {
        self.long_call = long_call;
    }

    /// How much longer the time is than what was open of it for functions whose calls are timed in windows, on average
    /// so far; `None` if there are no such windows.
    pub fn windows_factor(&self) -> Option<f64> {
        self.windows.as_ref().map(Cycle::factor)
    }

    /// Opens and closes windows that are due.
    pub fn tick(&mut self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        for cycle in [&mut self.windows, &mut self.duty].into_iter().flatten() {
            cycle.tick(kernel, self.long_call)?;
        }
        Ok(())
    }

    /// The probes are gone: what is open is over.
    pub fn end(&mut self) {
        for cycle in [&mut self.windows, &mut self.duty].into_iter().flatten() {
            cycle.past = cycle.open_time();
            cycle.open = false;
        }
    }

    /// How long windows were open.
    pub fn open_time(&self) -> OpenTime {
        let of = |cycle: &Option<Cycle>| cycle.as_ref().map_or(Duration::ZERO, Cycle::open_time);
        OpenTime {
            windows: of(&self.windows),
            duty: of(&self.duty),
            parking: self
                .windows
                .as_ref()
                .map_or(Duration::ZERO, |cycle| cycle.open_time() + cycle.attaching),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(closed: Watch) -> Subject {
        Subject {
            group: Some(0),
            closed,
            parking: false,
        }
    }

    #[test]
    fn windows_take_their_share_of_a_second() {
        let subject = subject(Watch::Counted);
        for share in [0.02, 0.1, 0.5] {
            let open = subject.window(share, Duration::ZERO);
            assert_eq!(open, PERIOD.mul_f64(share));
        }
        assert_eq!(subject.window(0.01, Duration::ZERO), SHORTEST);
    }

    #[test]
    fn windows_are_longer_than_calls() {
        let millis = Duration::from_millis;
        let timed = subject(Watch::Counted);
        assert_eq!(timed.window(0.1, millis(2)), millis(100));
        assert_eq!(timed.window(0.1, millis(25)), millis(500));
        assert_eq!(timed.window(0.5, millis(40)), millis(800));
        // At most so long from one to the next.
        assert_eq!(timed.window(0.1, millis(3_000)), millis(1_000));
        assert_eq!(subject(Watch::Off).window(0.1, millis(3_000)), millis(500));
    }

    #[test]
    fn the_first_window_stands_for_its_share() {
        let start = Instant::now();
        let mut cycle = Cycle::start(subject(Watch::Off), 0.25, Duration::ZERO, start);
        assert!((cycle.factor() - 4.0).abs() < 1e-9);
        // Later, what it was: a second of five.
        cycle.past = Duration::from_secs(1);
        cycle.until_opened = Duration::from_secs(5);
        assert!((cycle.factor() - 5.0).abs() < 1e-9);
    }
}
