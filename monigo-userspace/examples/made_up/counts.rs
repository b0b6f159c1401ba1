//! Calls by duration, kept and read as the real store does it.

use std::collections::BTreeMap;

use monigo::query::{Bucket, Latency};
use monigo_common::histogram::{bounds, bucket_of, representative};

/// Calls of each bucket.
#[derive(Clone, Default)]
pub struct Counts(BTreeMap<u16, u64>);

impl Counts {
    pub fn add(&mut self, duration_ns: u64) {
        *self.0.entry(bucket_of(duration_ns) as u16).or_default() += 1;
    }

    pub fn merge(&mut self, more: &Self) {
        for (bucket, count) in &more.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    pub fn calls(&self) -> u64 {
        self.0.values().sum()
    }

    /// Index of each bucket that is not empty, and its calls, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0
            .iter()
            .map(|(bucket, count)| (usize::from(*bucket), *count))
    }

    pub fn buckets(&self) -> Vec<Bucket> {
        let bucket = |(bucket, count)| {
            let (low_ns, high_ns) = bounds(bucket);
            Bucket {
                low_ns,
                high_ns,
                count,
            }
        };
        self.iter().map(bucket).collect()
    }

    /// Duration below which this share of the calls stays, ns; 0 without calls.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.calls() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.iter() {
            seen += count;
            if seen >= rank {
                return representative(bucket);
            }
        }
        0
    }

    pub fn latency(&self) -> Latency {
        let calls = self.calls();
        let total: u64 = self
            .iter()
            .map(|(bucket, count)| representative(bucket) * count)
            .sum();
        let edge = |bucket: Option<&u16>| bucket.map_or(0, |it| representative(usize::from(*it)));
        Latency {
            min: edge(self.0.keys().next()),
            mean: total.checked_div(calls).unwrap_or(0),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: edge(self.0.keys().next_back()),
            total,
        }
    }
}
