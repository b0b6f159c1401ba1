//! How much the target may be slowed down.

use std::time::Duration;

/// Most time that the probes of one window may take from the target.
pub const BURST: Duration = Duration::from_millis(4);
/// Most of one CPU's time that probes may take on average.
pub const SHARE: f64 = 0.05;
/// The same during the scan, which is short.
pub const SCAN_SHARE: f64 = 0.2;
/// Most of one CPU's time that the functions of a long window may cost together.
pub const LONG_SHARE: f64 = 0.04;

/// Keeps account of what the probes have cost the target so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    spent: Duration,
}

impl Pace {
    /// Adds what a window cost.
    pub fn spend(&mut self, cost: Duration) {
        self.spent += cost;
    }

    /// What the probes have cost altogether.
    pub fn spent(&self) -> Duration {
        self.spent
    }

    /// How long to leave the target alone after `elapsed` of the whole run, so that the probes'
    /// part of it comes down to `share`.
    pub fn rest(&self, elapsed: Duration, share: f64) -> Duration {
        self.spent.div_f64(share).saturating_sub(elapsed)
    }
}

/// How long a window may be in which probes are expected to take `share` of one CPU's time, at
/// most `longest`.
pub fn window_length(share: f64, longest: Duration) -> Duration {
    if share <= 0.0 {
        return longest;
    }
    Duration::try_from_secs_f64(BURST.as_secs_f64() / share)
        .map_or(longest, |fits| fits.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_follow_costs() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest(Duration::ZERO, SHARE), Duration::ZERO);
        pace.spend(Duration::from_millis(10));
        assert_eq!(
            pace.rest(Duration::from_millis(50), SHARE),
            Duration::from_millis(150)
        );
        assert_eq!(pace.rest(Duration::from_millis(200), SHARE), Duration::ZERO);
    }

    #[test]
    fn windows_fit_the_burst() {
        let longest = Duration::from_millis(100);
        assert_eq!(window_length(0.0, longest), longest);
        assert_eq!(window_length(2.0, longest), BURST / 2);
        assert_eq!(window_length(1e-9, longest), longest);
    }
}
