//! How long calls take: figures and buckets.

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// Latency figures in ns. All zero when no call was timed. Percentiles are within 3 % of the
/// true value; the others are exact when all calls were timed. Percentiles, and in a window the
/// longest, are zero where the kernel side had no room for a histogram. Figures of single calls are
/// no better than the floor of the probe, see [`ProbeRow::floor_ns`](super::ProbeRow::floor_ns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest (since the session's start, whatever the window).
    pub min: u64,
    /// Mean.
    pub mean: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Longest (since the session's start when the window is the whole session, else by bucket).
    pub max: u64,
    /// Sum.
    pub total: u64,
}

impl Latency {
    /// Figures of calls whose extremes and sum are known exactly. Percentiles are zero where there was
    /// no room for a histogram.
    pub fn of(histogram: &Histogram, calls: u64, total_ns: u64, min_ns: u64, max_ns: u64) -> Self {
        if calls == 0 {
            return Self::default();
        }
        let exact = Self {
            min: min_ns,
            mean: total_ns / calls,
            max: max_ns,
            total: total_ns,
            ..Self::default()
        };
        if histogram.total() == 0 {
            return exact;
        }
        // A bucket's middle can lie outside what was really seen in it.
        let percentile = |share| histogram.percentile(share).min(max_ns).max(min_ns);
        Self {
            p50: percentile(0.5),
            p90: percentile(0.9),
            p99: percentile(0.99),
            p999: percentile(0.999),
            ..exact
        }
    }
}

/// One non-empty histogram bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Lowest duration inside, ns.
    pub low_ns: u64,
    /// Lowest duration above, ns.
    pub high_ns: u64,
    /// Calls.
    pub count: u64,
}

impl Bucket {
    /// Those of a histogram, ascending.
    pub fn all(histogram: &Histogram) -> Vec<Self> {
        let bucket = |((low_ns, high_ns), count)| Self {
            low_ns,
            high_ns,
            count,
        };
        histogram.buckets().map(bucket).collect()
    }
}

#[cfg(test)]
mod tests {
    use monigo_common::histogram::bucket_of;
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Latency {
        let mut histogram = Histogram::default();
        for &ns in durations {
            histogram.add(bucket_of(ns) as u16, 1);
        }
        let (min, max) = (durations.iter().min(), durations.iter().max());
        let extreme = |ns: Option<&u64>| ns.copied().unwrap_or(0);
        let sum = durations.iter().sum();
        Latency::of(
            &histogram,
            durations.len() as u64,
            sum,
            extreme(min),
            extreme(max),
        )
    }

    #[test]
    fn no_call_is_all_zero() {
        assert_eq!(of(&[]), Latency::default());
    }

    #[test]
    fn one_call_is_every_percentile() {
        let latency = of(&[1_000_003]);
        for ns in [latency.min, latency.p50, latency.p999, latency.max] {
            assert_eq!(ns, 1_000_003);
        }
    }

    #[test]
    fn without_a_histogram_sums_and_extremes_are_told() {
        let latency = Latency::of(&Histogram::default(), 4, 100, 10, 40);
        let expected = Latency {
            min: 10,
            mean: 25,
            max: 40,
            total: 100,
            ..Latency::default()
        };
        assert_eq!(latency, expected);
    }

    proptest! {
        #[test]
        fn percentiles_ascend_between_the_extremes(
            durations in proptest::collection::vec(
                prop_oneof![0_u64..100, 0_u64..1_000_000, 0_u64..(1 << 42)], 1..600)
        ) {
            let it = of(&durations);
            prop_assert_eq!(it.mean, durations.iter().sum::<u64>() / durations.len() as u64);
            let figures = [it.min, it.p50, it.p90, it.p99, it.p999, it.max];
            prop_assert!(figures.is_sorted(), "{figures:?}");
        }
    }
}
