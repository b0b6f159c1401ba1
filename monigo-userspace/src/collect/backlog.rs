//! What was measured and could not be written yet.
//!
//! Each interval goes through here. While the store fails, intervals are merged: counters and
//! histograms are sums, so they stay exact in memory that does not grow with time. Single calls,
//! samples and readings are kept up to a number and counted as lost beyond it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::store::{Batch, FunctionDelta, LossDelta};

/// Calls and samples kept.
const MOST_DETAILS: usize = 200_000;
/// Readings kept.
const MOST_READINGS: usize = 100_000;
/// Notices, and processes, kept.
const MOST_ROWS: usize = 10_000;
/// Wait after the first failed write, and longest wait.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Intervals that wait to be written, as one.
#[derive(Debug, Default)]
pub struct Backlog {
    batch: Batch,
    functions: BTreeMap<Key, FunctionDelta>,
    losses: BTreeMap<String, u64>,
    intervals: u64,
    failure: Option<Failure>,
}

/// Deltas of different kinds stay apart: readers extend sums over them in different ways. Function;
/// whether durations are known; whether it is an estimate; whether more calls were timed than ended.
type Key = (u32, bool, bool, bool);

/// Writing fails.
#[derive(Clone, Copy, Debug)]
struct Failure {
    since: Instant,
    wait: Duration,
    again: Instant,
}

impl Backlog {
    /// Takes an interval in. Returns how many calls, samples and other rows there was no room for.
    pub fn add(&mut self, mut interval: Batch) -> u64 {
        self.intervals += 1;
        self.batch.at_ns = interval.at_ns;
        for delta in interval.functions {
            let key = (
                delta.function,
                delta.timed > 0 || delta.total_ns > 0,
                delta.variance > 0,
                delta.timed > delta.calls,
            );
            match self.functions.get_mut(&key) {
                Some(sum) => add_delta(sum, &delta),
                None => drop(self.functions.insert(key, delta)),
            }
        }
        for loss in interval.losses {
            *self.losses.entry(loss.cause).or_default() += loss.count;
        }
        self.batch.beside_ns += interval.beside_ns;
        self.batch.skipped_ns += interval.skipped_ns;
        let mut lost = 0;
        lost += take(&mut self.batch.calls, &mut interval.calls, MOST_DETAILS);
        let room = MOST_DETAILS - self.batch.calls.len();
        lost += take(&mut self.batch.samples, &mut interval.samples, room);
        lost += take(
            &mut self.batch.readings,
            &mut interval.readings,
            MOST_READINGS,
        );
        lost += take(
            &mut self.batch.processes,
            &mut interval.processes,
            MOST_ROWS,
        );
        lost += take(&mut self.batch.notices, &mut interval.notices, MOST_ROWS);
        lost
    }

    /// Calls and samples that there is room for.
    pub fn room(&self) -> usize {
        MOST_DETAILS.saturating_sub(self.batch.calls.len() + self.batch.samples.len())
    }

    /// Whether a write is to be tried.
    pub fn is_due(&self, now: Instant) -> bool {
        self.failure.is_none_or(|failure| now >= failure.again)
    }

    /// All intervals as one.
    pub fn batch(&mut self) -> &mut Batch {
        self.batch.functions = self.functions.values().cloned().collect();
        let losses = self.losses.iter();
        self.batch.losses = losses
            .map(|(cause, &count)| LossDelta {
                cause: cause.clone(),
                count,
            })
            .collect();
        &mut self.batch
    }

    /// It was written. Returns for how long that had failed, if it had.
    pub fn written(&mut self, now: Instant) -> Option<Duration> {
        self.functions.clear();
        self.losses.clear();
        self.intervals = 0;
        let batch = &mut self.batch;
        // The memory serves the next interval, unless there is much of it.
        shrink(&mut batch.calls);
        shrink(&mut batch.samples);
        shrink(&mut batch.readings);
        batch.beside_ns = 0;
        batch.skipped_ns = 0;
        batch.processes.clear();
        batch.notices.clear();
        batch.functions = Vec::new();
        batch.losses = Vec::new();
        batch.frames = Vec::new();
        batch.stacks = Vec::new();
        let failure = self.failure.take();
        failure.map(|failure| now.duration_since(failure.since))
    }

    /// It was not written. Whether that is news.
    pub fn failed(&mut self, now: Instant) -> bool {
        let (first, longest) = WAITS;
        let before = self.failure;
        let wait = before.map_or(first, |failure| (failure.wait * 2).min(longest));
        self.failure = Some(Failure {
            since: before.map_or(now, |failure| failure.since),
            wait,
            again: now + wait,
        });
        self.batch.frames = Vec::new();
        self.batch.stacks = Vec::new();
        before.is_none()
    }
}

/// Moves what fits; returns how many did not.
fn take<T>(into: &mut Vec<T>, from: &mut Vec<T>, most: usize) -> u64 {
    let room = most.saturating_sub(into.len());
    let lost = from.len().saturating_sub(room);
    from.truncate(room);
    if into.is_empty() {
        std::mem::swap(into, from);
    } else {
        into.append(from);
    }
    lost as u64
}

fn shrink<T>(rows: &mut Vec<T>) {
    const USUAL: usize = 4096;
    rows.clear();
    rows.shrink_to(USUAL);
}

fn add_delta(sum: &mut FunctionDelta, delta: &FunctionDelta) {
    // Extremes mean nothing without a timed call.
    if delta.timed > 0 {
        let both = sum.timed > 0;
        sum.min_ns = if both {
            sum.min_ns.min(delta.min_ns)
        } else {
            delta.min_ns
        };
        sum.max_ns = if both {
            sum.max_ns.max(delta.max_ns)
        } else {
            delta.max_ns
        };
    }
    sum.entered += delta.entered;
    sum.calls += delta.calls;
    sum.unwound += delta.unwound;
    sum.unmatched += delta.unmatched;
    sum.timed += delta.timed;
    sum.variance = sum.variance.saturating_add(delta.variance);
    sum.total_ns = sum.total_ns.saturating_add(delta.total_ns);
    sum.self_ns = sum.self_ns.saturating_add(delta.self_ns);
    let mut buckets: BTreeMap<u16, u64> = std::mem::take(&mut sum.buckets).into_iter().collect();
    for &(bucket, count) in &delta.buckets {
        *buckets.entry(bucket).or_default() += count;
    }
    sum.buckets = buckets.into_iter().collect();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::fixture;

    fn interval(second: i64, durations: &[u64]) -> Batch {
        Batch {
            at_ns: second,
            functions: vec![fixture::delta(0, durations, (1, 1_000_000))],
            ..Batch::default()
        }
    }

    #[test]
    fn waits_grow_and_end_with_the_first_success() {
        let mut backlog = Backlog::default();
        let start = Instant::now();
        assert!(backlog.is_due(start));
        assert!(backlog.failed(start), "news");
        assert!(!backlog.is_due(start));
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_secs(seconds);
            assert!(backlog.is_due(now), "{seconds}");
            let before = now.checked_sub(Duration::from_millis(1)).unwrap();
            assert!(!backlog.is_due(before));
            assert!(!backlog.failed(now), "known");
        }
        assert_eq!(backlog.written(now), Some(now - start));
        assert!(backlog.is_due(now));
        assert_eq!(backlog.written(now), None);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut backlog = Backlog::default();
        let many = |count| Batch {
            calls: vec![fixture::call(0, 1, 1, None); count],
            ..Batch::default()
        };
        assert_eq!(backlog.add(many(MOST_DETAILS - 1)), 0);
        assert_eq!(backlog.room(), 1);
        assert_eq!(backlog.add(many(3)), 2);
        let sample = fixture::sample(0, crate::store::SampleKind::Cpu, 1, None);
        let samples = Batch {
            samples: vec![sample],
            ..Batch::default()
        };
        assert_eq!(backlog.add(samples), 1);
        assert_eq!(backlog.batch().calls.len(), MOST_DETAILS);
        backlog.written(Instant::now());
        assert_eq!(backlog.room(), MOST_DETAILS);
        assert!(
            backlog.batch().calls.capacity() <= 4096,
            "memory is given back"
        );
    }

    #[test]
    fn estimates_stay_apart_from_counts() {
        let mut backlog = Backlog::default();
        let mut estimate = interval(1, &[5]);
        estimate.functions[0].variance = 9;
        backlog.add(estimate);
        backlog.add(interval(2, &[7]));
        let variances: Vec<u64> = backlog
            .batch()
            .functions
            .iter()
            .map(|d| d.variance)
            .collect();
        assert_eq!(variances, [0, 9]);
    }

    proptest! {
        #[test]
        fn merged_intervals_are_the_sum(
            intervals in proptest::collection::vec(proptest::collection::vec(1_u64..1 << 40, 0..20), 1..20)
        ) {
            let mut backlog = Backlog::default();
            for (second, durations) in intervals.iter().enumerate() {
                backlog.add(interval(second as i64, durations));
            }
            let all: Vec<u64> = intervals.concat();
            let whole = fixture::delta(0, &all, (1, 1_000_000));
            let batch = backlog.batch();
            prop_assert_eq!(batch.at_ns, intervals.len() as i64 - 1);
            let sum = |of: fn(&FunctionDelta) -> u64| batch.functions.iter().map(of).sum::<u64>();
            prop_assert_eq!(sum(|d| d.calls), whole.calls);
            prop_assert_eq!(sum(|d| d.total_ns), whole.total_ns);
            prop_assert_eq!(sum(|d| d.timed), whole.timed);
            let buckets: Vec<(u16, u64)> =
                batch.functions.iter().flat_map(|d| d.buckets.clone()).collect();
            prop_assert_eq!(buckets, whole.buckets);
        }
    }
}
