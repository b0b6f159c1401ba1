//! Percentiles from the log-linear histogram, for whoever reads the kernel side's and for whoever answers questions.

use std::collections::BTreeMap;

use monigo_common::histogram::{BUCKETS, bounds, representative};

/// Completed calls per latency bucket; holds only buckets that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<u16, u64>,
    total: u64,
}

impl Histogram {
    /// Adds calls to a bucket. Buckets that do not exist count as the last one.
    pub fn add(&mut self, bucket: u16, count: u64) {
        if count > 0 {
            let bucket = bucket.min(BUCKETS as u16 - 1);
            *self.counts.entry(bucket).or_default() += count;
            self.total += count;
        }
    }

    /// Adds the calls of another.
    pub fn merge(&mut self, other: &Self) {
        for (&bucket, &count) in &other.counts {
            self.add(bucket, count);
        }
    }

    /// Calls in all buckets.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration in ns that `share` (0 to 1) of the calls do not exceed, by nearest rank; zero
    /// without calls. Within 3 % of the true value, below about 73 minutes.
    pub fn percentile(&self, share: f64) -> u64 {
        // f64 products like 0.99 * 100 may come out a hair above the whole number they mean.
        let exact = share * self.total as f64;
        let rank = ((exact - exact * 1e-12).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (&bucket, &count) in &self.counts {
            seen += count;
            if seen >= rank {
                return representative(usize::from(bucket));
            }
        }
        0
    }

    /// Bounds in ns of the bucket that the call of this rank is in, the shortest call being 1.
    fn bucket_of_rank(&self, rank: u64) -> Option<(u64, u64)> {
        let mut seen = 0;
        let mut buckets = self.counts.iter();
        let found = buckets.find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map(|(&bucket, _)| bounds(usize::from(bucket)))
    }

    /// The least duration in ns such that `share` (0 to 1) of the calls, and no more than that and
    /// a bucket, are shorter; `None` without calls. At least one call is as long.
    pub fn slower_than(&self, share: f64) -> Option<u64> {
        let exact = share * self.total as f64;
        let shorter = (exact + exact * 1e-12).floor() as u64;
        let rank = (shorter + 1).min(self.total);
        self.bucket_of_rank(rank).map(|(low, _)| low)
    }

    /// The duration in ns below which at least `share` (0 to 1) of the calls are, and no more than that
    /// and a bucket; `None` without calls.
    pub fn faster_than(&self, share: f64) -> Option<u64> {
        let exact = share * self.total as f64;
        let rank = ((exact - exact * 1e-12).ceil() as u64).max(1);
        self.bucket_of_rank(rank).map(|(_, high)| high)
    }

    /// The middle of the highest bucket that is not empty, ns; zero without calls.
    pub fn top(&self) -> u64 {
        self.counts
            .last_key_value()
            .map_or(0, |(&bucket, _)| representative(usize::from(bucket)))
    }

    /// The buckets that are not empty, ascending: bounds in ns, the upper one outside, and calls.
    pub fn buckets(&self) -> impl Iterator<Item = ((u64, u64), u64)> {
        let bucket = |(&bucket, &count)| (bounds(usize::from(bucket)), count);
        self.counts.iter().map(bucket)
    }
}

#[cfg(test)]
mod tests {
    use monigo_common::histogram::bucket_of;
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &ns in durations {
            histogram.add(bucket_of(ns) as u16, 1);
        }
        histogram
    }

    fn nearest_rank(sorted: &[u64], percent_tenths: usize) -> u64 {
        let rank = (sorted.len() * percent_tenths).div_ceil(1000).max(1);
        sorted[rank - 1]
    }

    #[test]
    fn nothing_measured_is_all_zero() {
        let empty = Histogram::default();
        assert_eq!(empty.percentile(0.99), 0);
        assert_eq!(empty.top(), 0);
        assert_eq!(empty.buckets().next(), None);
    }

    #[test]
    fn ranks_do_not_slip_on_rounding() {
        // 0.99 * 100 is 99.00000000000000142 in binary: still rank 99, not 100.
        let mut durations = vec![10; 99];
        durations.push(1_000_000);
        assert_eq!(of(&durations).percentile(0.99), 10);
        assert!(of(&durations).percentile(0.991) > 900_000);
    }

    #[test]
    fn the_slowest_percent_is_found_and_nothing_else() {
        let mut durations = vec![10; 99];
        durations.push(1_000_000);
        let histogram = of(&durations);
        let slow = histogram.slower_than(0.99).expect("calls");
        assert!((900_000..=1_000_000).contains(&slow), "{slow}");
        assert_eq!(histogram.faster_than(0.5), Some(11));
        assert_eq!(of(&[]).slower_than(0.99), None);
        assert_eq!(of(&[7]).slower_than(0.99), Some(7));
        assert_eq!(of(&[7]).faster_than(0.5), Some(8));
    }

    #[test]
    fn bogus_buckets_do_no_harm() {
        let mut histogram = Histogram::default();
        histogram.add(u16::MAX, 3);
        assert_eq!(histogram.total(), 3);
        assert_eq!(histogram.buckets().count(), 1);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_three_percent(
            mut durations in proptest::collection::vec(
                prop_oneof![0_u64..100, 0_u64..1_000_000, 0_u64..(1 << 42)], 1..600)
        ) {
            let histogram = of(&durations);
            durations.sort_unstable();
            prop_assert_eq!(histogram.total(), durations.len() as u64);
            let mut last = 0;
            for tenths in [500, 900, 990, 999] {
                let got = histogram.percentile(tenths as f64 / 1000.0);
                let exact = nearest_rank(&durations, tenths);
                let error = got.abs_diff(exact) as f64;
                prop_assert!(error <= 0.03 * exact as f64, "p{tenths}: {got} for {exact}");
                prop_assert!(got >= last);
                last = got;
            }
            prop_assert!(last <= histogram.top());
        }
    }
}
