//! How long calls last that are to end while a time window is open.

use std::{collections::BTreeMap, time::Duration};

use crate::{histogram::Histogram, store::FunctionDelta};

/// Part of the calls that is no longer.
const SELDOM: f64 = 0.999;
/// What remains after each interval of what was seen before.
const DECAY: f64 = 0.95;
/// Calls that should have been timed before it counts that fewer were.
const ENOUGH: f64 = 20.0;
/// Once windows turn out too short, calls are taken to last this long at least, ns.
const LEAST_NS: f64 = 5e6;

/// What is known of long calls, from intervals one after the other.
#[derive(Clone, Debug, Default)]
pub struct LongCalls {
    recent_ns: f64,
    /// Of functions that are timed in windows: calls that should have been timed, and that were.
    timed: BTreeMap<u32, (f64, u64)>,
}

impl LongCalls {
    /// An interval has passed.
    pub fn pass(&mut self) {
        self.recent_ns *= DECAY;
    }

    /// What was measured of a function in the interval.
    pub fn note(&mut self, delta: &FunctionDelta) {
        self.recent_ns = self.recent_ns.max(seldom_exceeded_ns(&delta.buckets));
    }

    /// The same of a function whose calls are timed in windows, which were open for `share` of the interval. Calls
    /// that never end while one is open are never seen, but there are fewer timed ones than there should be.
    pub fn note_in_windows(&mut self, delta: &FunctionDelta, share: f64) {
        self.note(delta);
        let (expected, timed) = self.timed.entry(delta.function).or_default();
        *expected += delta.calls as f64 * share;
        *timed += delta.timed;
        if *expected < ENOUGH {
            return;
        }
        if (*timed as f64) < *expected / 2.0 {
            self.recent_ns = 2.0 * self.recent_ns.max(LEAST_NS);
        }
        (*expected, *timed) = (0.0, 0);
    }

    /// How long calls last that are seldom exceeded.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.recent_ns as u64)
    }
}

fn seldom_exceeded_ns(buckets: &[(u16, u64)]) -> f64 {
    let mut histogram = Histogram::default();
    for (bucket, count) in buckets {
        histogram.add(*bucket, *count);
    }
    histogram.faster_than(SELDOM).unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use monigo_common::histogram;

    use super::*;

    fn delta(calls: u64, timed: u64, duration_ns: u64) -> FunctionDelta {
        let bucket = histogram::bucket_of(duration_ns) as u16;
        FunctionDelta {
            calls,
            timed,
            buckets: vec![(3, timed * 99), (bucket, timed)],
            ..FunctionDelta::default()
        }
    }

    #[test]
    fn the_longest_lately_counts() {
        let mut long = LongCalls::default();
        assert_eq!(long.duration(), Duration::ZERO);
        long.note(&delta(100, 100, 1_000_000));
        let first = long.duration();
        assert!(first >= Duration::from_millis(1), "{first:?}");
        assert!(first <= Duration::from_micros(1_040), "{first:?}");
        long.pass();
        long.note(&delta(100, 100, 10));
        assert!(long.duration() < first);
    }

    #[test]
    fn calls_that_are_never_seen_to_end_are_longer() {
        let mut long = LongCalls::default();
        // Half a tenth of the calls should have been timed.
        long.note_in_windows(&delta(200, 10, 1_000), 0.05);
        assert!(long.duration() < Duration::from_millis(1));
        long.note_in_windows(&delta(200, 10, 1_000), 0.05);
        assert!(
            long.duration() < Duration::from_millis(1),
            "as many as there should be"
        );
        for millis in [10, 20, 40] {
            long.note_in_windows(&delta(400, 0, 1_000), 0.05);
            assert_eq!(long.duration(), Duration::from_millis(millis));
        }
        // Without a window nothing is to be expected.
        long.note_in_windows(&delta(1_000_000, 0, 1_000), 0.0);
        assert_eq!(long.duration(), Duration::from_millis(40));
    }
}
