//! Which calls to record in full, so that the store stays small and the tail stays visible.
//!
//! Calls are recorded in two strata. Those slower than a threshold (about the slowest percent
//! lately) are all recorded and stand for themselves; of the others, 1 in N is, and stands for N.
//! Sums over records times their weight are unbiased.

use std::time::Duration;

use monigo_common::histogram;

/// Records per second that an adaptive session aims for, over all functions.
const TARGET_PER_SECOND: f64 = 1000.0;
/// Records of slow calls per second and function.
const SLOW_PER_SECOND: f64 = 20.0;
/// Share of calls that count as slow at the most.
const SLOW_SHARE: f64 = 0.01;
/// Calls in an interval below which every call can be recorded anyway.
const FEW_CALLS: u64 = 200;

/// How the sampling rate is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// 1 in this many.
    Fixed(u32),
    /// As many as stay near the target.
    Adaptive,
}

impl Sampling {
    /// The rate to start with.
    pub fn first(self) -> u32 {
        match self {
            Self::Fixed(every) => every,
            Self::Adaptive => 1,
        }
    }

    /// The rate for the next interval, after `records` were drawn at 1 in `every` during `elapsed`.
    /// One in `share` of the records that one would like is to be taken.
    pub fn next(self, every: u32, records: u64, elapsed: Duration, share: u32) -> u32 {
        let seconds = elapsed.as_secs_f64();
        if let Self::Fixed(fixed) = self {
            return fixed.saturating_mul(share);
        }
        if seconds <= 0.0 {
            return every;
        }
        let calls_per_second = records as f64 * f64::from(every) / seconds;
        let wanted = (calls_per_second * f64::from(share) / TARGET_PER_SECOND)
            .ceil()
            .clamp(1.0, f64::from(u32::MAX)) as u32;
        // Rise at once, fall by halves: a burst must not fill the ring buffer again.
        if wanted >= every {
            wanted
        } else {
            wanted.max(every / 2)
        }
    }
}

/// The duration from which on calls of a function are slow, given what completed during `elapsed`:
/// bucket indexes, ascending, with their counts. `u64::MAX` when nothing should be singled out.
pub fn slow_threshold_ns(buckets: &[(u16, u64)], elapsed: Duration) -> u64 {
    let calls: u64 = buckets.iter().map(|(_, count)| count).sum();
    let seconds = elapsed.as_secs_f64();
    if calls < FEW_CALLS || seconds <= 0.0 {
        return u64::MAX;
    }
    let allowed = (calls as f64 * SLOW_SHARE).min(SLOW_PER_SECOND * seconds) as u64;
    let mut above = 0;
    let mut threshold = u64::MAX;
    for &(bucket, count) in buckets.iter().rev() {
        above += count;
        if above > allowed {
            break;
        }
        threshold = histogram::bounds(usize::from(bucket)).0;
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn fixed_never_moves() {
        assert_eq!(Sampling::Fixed(7).next(7, 1_000_000, SECOND, 1), 7);
    }

    #[test]
    fn adapts_up_at_once_and_down_by_halves() {
        let sampling = Sampling::Adaptive;
        assert_eq!(sampling.next(1, 300, SECOND, 1), 1);
        assert_eq!(sampling.next(1, 200_000, SECOND, 1), 200);
        assert_eq!(sampling.next(200, 0, SECOND, 1), 100);
        assert_eq!(sampling.next(1, 0, SECOND, 1), 1);
        assert_eq!(sampling.next(1, 200_000, SECOND, 10), 2000);
    }

    #[test]
    fn threshold_leaves_at_most_a_percent() {
        let slow = 200_u16;
        let buckets = [(100, 9_900), (slow, 10), (300, 5)];
        assert_eq!(
            slow_threshold_ns(&buckets, SECOND),
            histogram::bounds(usize::from(slow)).0
        );
        assert_eq!(slow_threshold_ns(&[(100, 10)], SECOND), u64::MAX);
        assert_eq!(slow_threshold_ns(&[(100, 100_000)], SECOND), u64::MAX);
    }
}
