//! Puts a [`Plan`] in force: groups the functions, and opens and closes the time windows.

use std::time::{Duration, Instant};

use super::budget::{Mode, Plan};
use crate::probe::{Kernel, ProbeError, Watch};

/// Time from one window to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Shortest window; with a smaller share of the time, windows are rarer.
const SHORTEST: Duration = Duration::from_millis(20);

/// Windows that open and close in turn, for one group of functions.
#[derive(Debug)]
struct Cycle {
    group: usize,
    closed: Watch,
    open: bool,
    changes: Instant,
    opened: Instant,
    open_for: Duration,
    closed_for: Duration,
    /// Time open so far, without the window that is open.
    past: Duration,
}

impl Cycle {
    fn start(group: usize, closed: Watch, share: f64, now: Instant) -> Self {
        let share = share.clamp(0.001, 1.0);
        let open_for = PERIOD.mul_f64(share).max(SHORTEST);
        Self {
            group,
            closed,
            open: true,
            changes: now + open_for,
            opened: now,
            open_for,
            closed_for: open_for.mul_f64(1.0 / share - 1.0),
            past: Duration::ZERO,
        }
    }

    fn tick(&mut self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        if Instant::now() < self.changes {
            return Ok(());
        }
        if self.open {
            // The kernel side stops at the beginning of this call, before links are removed.
            self.past += self.opened.elapsed();
            self.open = false;
            kernel.watch(self.group, self.closed)?;
            self.changes = Instant::now() + self.closed_for;
        } else {
            kernel.watch(self.group, Watch::Timed)?;
            self.open = true;
            self.opened = Instant::now();
            self.changes = self.opened + self.open_for;
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
}

/// Time that windows were open since a plan came in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenTime {
    /// Of functions whose calls are timed in windows.
    pub windows: Duration,
    /// Of functions that are probed in windows.
    pub duty: Duration,
}

/// The windows of a plan.
#[derive(Debug, Default)]
pub struct Pacer {
    windows: Option<Cycle>,
    duty: Option<Cycle>,
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
        let now = Instant::now();
        self.windows = windows.map(|group| Cycle::start(group, Watch::Counted, plan.windows, now));
        self.duty = duty.map(|group| Cycle::start(group, Watch::Off, plan.duty, now));
        Ok(())
    }

    /// Opens and closes windows that are due.
    pub fn tick(&mut self, kernel: &mut Kernel) -> Result<(), ProbeError> {
        for cycle in [&mut self.windows, &mut self.duty].into_iter().flatten() {
            cycle.tick(kernel)?;
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_take_their_share_of_the_time() {
        let now = Instant::now();
        for share in [0.02, 0.1, 0.5] {
            let cycle = Cycle::start(0, Watch::Off, share, now);
            let period = cycle.open_for + cycle.closed_for;
            let part = cycle.open_for.as_secs_f64() / period.as_secs_f64();
            assert!((part - share).abs() < 1e-6, "{share}: {part}");
            assert!(cycle.open_for >= SHORTEST);
        }
        let rare = Cycle::start(0, Watch::Off, 0.01, now);
        assert_eq!(rare.open_for, SHORTEST);
    }
}
