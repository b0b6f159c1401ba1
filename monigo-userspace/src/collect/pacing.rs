//! Puts a [`Plan`] in force: groups the functions, and opens and closes the time windows.

use std::time::{Duration, Instant};

use super::budget::{Mode, Plan};
use crate::probe::{Kernel, ProbeError, Watch};

/// Length of a round, in which a window opens once, unless calls are long.
const ROUND: Duration = Duration::from_secs(1);
/// Shortest window; with a smaller share of the time, windows are rarer.
const SHORTEST: Duration = Duration::from_millis(20);
/// A window lasts as long as this many long calls, for what is open when it closes ends unseen.
const LONG_CALLS: u32 = 20;
/// Longest round that long calls make necessary.
const LONGEST_ROUND: Duration = Duration::from_secs(10);
/// The same where calls are counted in windows only: estimates need many.
const LONGEST_DUTY_ROUND: Duration = Duration::from_secs(5);
/// By how much later in its round each window opens than the one before, as a part of what it can be; of these sums,
/// whole rounds are left out. A target that does something every second would else do it in every window or in none;
/// multiples of the golden ratio's part after the point are spread most evenly.
const LATER: f64 = 0.618_033_988_749_895;

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
            LONGEST_DUTY_ROUND
        } else {
            LONGEST_ROUND
        };
        let least = (long_call * LONG_CALLS).min(longest.mul_f64(share));
        ROUND.mul_f64(share).max(least).max(SHORTEST)
    }

    fn close(&self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        let closed = self.watch(kernel, self.closed);
        if self.parking {
            kernel.pause_parking();
        }
        closed
    }
}

/// Windows that open and close in turn: once in each round, for the same share of it.
#[derive(Debug)]
struct Cycle {
    subject: Subject,
    /// Of the time in which windows are open.
    share: f64,
    open: bool,
    changes: Instant,
    started: Instant,
    opened: Instant,
    /// Beginning of the round, and how far in it the window opens, as a part of what it can be.
    round: Instant,
    phase: f64,
    /// How much longer the rounds were than their windows, of all that are over.
    factor: f64,
    /// Time open so far, without the window that is open.
    past: Duration,
    /// Time that putting probes in place took so far.
    attaching: Duration,
}

impl Cycle {
    /// The first window opens at once.
    fn start(subject: Subject, share: f64, long_call: Duration, now: Instant) -> Self {
        let share = share.clamp(0.001, 1.0);
        Self {
            changes: now + subject.window(share, long_call),
            subject,
            share,
            open: true,
            started: now,
            opened: now,
            round: now,
            phase: 0.0,
            factor: 1.0 / share,
            past: Duration::ZERO,
            attaching: Duration::ZERO,
        }
    }

    fn tick(&mut self, kernel: &mut Kernel, long_call: Duration) -> Result<(), ProbeError> {
        if Instant::now() < self.changes {
            return Ok(());
        }
        let window = self.subject.window(self.share, long_call);
        if self.open {
            // The kernel side stops at the beginning of this call, before links are removed.
            let lasted = self.opened.elapsed();
            self.subject.close(kernel)?;
            self.close(lasted, window, Instant::now());
        } else {
            let begun = Instant::now();
            self.subject.open(kernel)?;
            self.open(Instant::now(), window);
            self.attaching += self.opened.duration_since(begun);
        }
        Ok(())
    }

    /// A window closed that `lasted` so long; the next one is to last for `window`.
    fn close(&mut self, lasted: Duration, window: Duration, now: Instant) {
        self.open = false;
        self.past += lasted;
        // What came late does not move the rounds, unless it was later than that.
        self.round = (self.round + lasted.div_f64(self.share)).max(now);
        self.phase = (self.phase + LATER).fract();
        let closed = window.div_f64(self.share).saturating_sub(window);
        self.changes = self.round + closed.mul_f64(self.phase);
    }

    fn open(&mut self, now: Instant, window: Duration) {
        self.open = true;
        self.opened = now;
        self.changes = now + window;
        let rounds = self.round.duration_since(self.started).as_secs_f64();
        self.factor = rounds / self.past.as_secs_f64().max(f64::MIN_POSITIVE);
    }

    fn open_time(&self) -> Duration {
        let current = if self.open {
            self.opened.elapsed()
        } else {
            Duration::ZERO
        };
        self.past + current
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
    /// Time until a window opens or closes; `None` if there are none.
    pub fn until_change(&self) -> Option<Duration> {
        let cycles = [&self.windows, &self.duty].into_iter().flatten();
        let changes = cycles.map(|cycle| cycle.changes).min()?;
        Some(changes.saturating_duration_since(Instant::now()))
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
    /// so far, until the round in which a window was opened last; `None` if there are no such windows.
    pub fn windows_factor(&self) -> Option<f64> {
        self.windows.as_ref().map(|cycle| cycle.factor)
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
            assert_eq!(open, ROUND.mul_f64(share));
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

    /// A cycle's window opens when it is due, and closes as long after that as it should last.
    fn go_round(cycle: &mut Cycle, window: Duration) -> Duration {
        let closes = cycle.opened + window;
        cycle.close(window, window, closes);
        cycle.open(cycle.changes, window);
        cycle.opened.duration_since(cycle.started)
    }

    #[test]
    fn windows_open_in_all_parts_of_their_rounds() {
        let start = Instant::now();
        let mut cycle = Cycle::start(subject(Watch::Off), 0.25, Duration::ZERO, start);
        assert!((cycle.factor - 4.0).abs() < 1e-9);
        let window = Duration::from_millis(250);
        let mut parts = [0; 3];
        for round in 1..=60 {
            let opened = go_round(&mut cycle, window).as_secs_f64();
            assert!((cycle.factor - 4.0).abs() < 1e-6, "{cycle:?}");
            let late = opened - f64::from(round);
            assert!((0.0..0.75).contains(&late), "{round}: {opened}");
            parts[(late * 4.0) as usize] += 1;
        }
        assert!(
            parts.iter().all(|part| (19..=21).contains(part)),
            "{parts:?}"
        );
    }

    #[test]
    fn windows_that_are_late_stand_for_more() {
        let start = Instant::now();
        let millis = Duration::from_millis;
        let mut cycle = Cycle::start(subject(Watch::Off), 0.5, Duration::ZERO, start);
        // Closing took until long after the round.
        cycle.close(millis(500), millis(500), start + millis(3_000));
        assert!(
            (cycle.factor - 2.0).abs() < 1e-9,
            "the first one is its share"
        );
        cycle.open(start + millis(3_200), millis(500));
        assert!((cycle.factor - 6.0).abs() < 1e-9, "{cycle:?}");
        cycle.close(millis(500), millis(500), start + millis(3_700));
        assert!(
            (cycle.factor - 6.0).abs() < 1e-9,
            "as long as it is handed out"
        );
        cycle.open(start + millis(4_100), millis(500));
        assert!((cycle.factor - 4.0).abs() < 1e-9, "{cycle:?}");
    }
}
