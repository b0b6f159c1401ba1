//! Percentiles from the log-linear histogram.

use std::collections::BTreeMap;

use monigo_common::histogram::{BUCKETS, bounds, representative};

use super::{Bucket, Latency};

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

    /// Latency figures of calls whose extremes and sum are known exactly. Percentiles are zero
    /// where there was no room for a histogram.
    pub fn latency(&self, calls: u64, total_ns: u64, min_ns: u64, max_ns: u64) -> Latency {
        if calls == 0 {
            return Latency::default();
        }
        if self.total == 0 {
            return Latency {
                min: min_ns,
                mean: total_ns / calls,
                max: max_ns,
                total: total_ns,
                ..Latency::default()
            };
        }
        // A bucket's middle can lie outside what was really seen in it.
        let percentile = |share| self.percentile(share).min(max_ns).max(min_ns);
        Latency {
            min: min_ns,
            mean: total_ns / calls,
            p50: percentile(0.5),
            p90: percentile(0.9),
            p99: percentile(0.99),
            p999: percentile(0.999),
            max: max_ns,
            total: total_ns,
        }
    }

    /// The buckets that are not empty, ascending.
    pub fn buckets(&self) -> Vec<Bucket> {
        let bucket = |(&bucket, &count)| {
            let (low_ns, high_ns) = bounds(usize::from(bucket));
            Bucket {
                low_ns,
                high_ns,
                count,
            }
        };
        self.counts.iter().map(bucket).collect()
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
        assert_eq!(empty.latency(0, 0, 0, 0), Latency::default());
        assert!(empty.buckets().is_empty());
    }

    #[test]
    fn one_call_is_every_percentile() {
        let latency = of(&[1_000_003]).latency(1, 1_000_003, 1_000_003, 1_000_003);
        for ns in [latency.min, latency.p50, latency.p999, latency.max] {
            assert_eq!(ns, 1_000_003);
        }
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
        assert_eq!(histogram.buckets().len(), 1);
    }

    proptest! {
        #[test]
        fn percentiles_are_within_three_percent(
            mut durations in proptest::collection::vec(
                prop_oneof![0_u64..100, 0_u64..1_000_000, 0_u64..(1 << 42)], 1..600)
        ) {
            let histogram = of(&durations);
            durations.sort_unstable();
            let (min, max) = (durations[0], durations[durations.len() - 1]);
            let sum: u64 = durations.iter().sum();
            let latency = histogram.latency(durations.len() as u64, sum, min, max);
            prop_assert_eq!(histogram.total(), durations.len() as u64);
            prop_assert_eq!(latency.mean, sum / durations.len() as u64);
            for (tenths, got) in [(500, latency.p50), (900, latency.p90), (990, latency.p99), (999, latency.p999)] {
                let exact = nearest_rank(&durations, tenths);
                let error = got.abs_diff(exact) as f64;
                prop_assert!(error <= 0.03 * exact as f64, "p{tenths}: {got} for {exact}");
                prop_assert!((min..=max).contains(&got));
            }
            prop_assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99);
            prop_assert!(latency.p99 <= latency.p999 && latency.p999 <= latency.max);
        }
    }
}
