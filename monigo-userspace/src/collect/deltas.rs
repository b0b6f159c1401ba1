//! Differences between two readings of a function's cumulative counters.

use monigo_common::{
    counters::{Buckets, Counters},
    histogram::BUCKETS,
};

use crate::store::FunctionDelta;

/// What was last stored of one function.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    counters: Counters,
    /// Calls of dead goroutines, which the kernel side cannot count.
    swept: u64,
    buckets: Vec<Vec<u32>>,
    /// Calls in all buckets so far. The kernel side counts a call before its bucket, so this can
    /// lag behind the counter when a reading falls in between.
    bucketed: u64,
}

/// A fresh reading, which becomes the baseline once it is stored.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Counters summed over CPUs.
    pub counters: Counters,
    /// Unwound calls that the user side found.
    pub swept: u64,
    /// Histogram per CPU; empty when no call completed since the baseline.
    pub buckets: Vec<Vec<u32>>,
}

impl Reading {
    /// Keeps one CPU's histogram.
    pub fn keep(&mut self, cpu: usize, buckets: &Buckets) {
        if self.buckets.len() <= cpu {
            self.buckets.resize_with(cpu + 1, Vec::new);
        }
        self.buckets[cpu] = buckets.counts.to_vec();
    }
}

impl Baseline {
    /// Whether there are completed calls whose buckets have not been read.
    pub fn histogram_is_behind(&self, counters: &Counters) -> bool {
        counters.completed != self.bucketed
    }

    /// The difference to `reading`, or `None` when nothing happened.
    pub fn delta(&self, function: u32, reading: &Reading) -> Option<FunctionDelta> {
        let (new, old) = (&reading.counters, &self.counters);
        let calls = new.completed - old.completed;
        let buckets = self.bucket_deltas(reading);
        if new == old && reading.swept == self.swept && buckets.is_empty() {
            return None;
        }
        Some(FunctionDelta {
            function,
            entered: new.entered - old.entered,
            calls,
            unwound: (new.unwound + reading.swept) - (old.unwound + self.swept),
            unmatched: new.unmatched - old.unmatched,
            timed: calls,
            variance: 0,
            total_ns: new.total_ns.wrapping_sub(old.total_ns),
            self_ns: new.self_ns.wrapping_sub(old.self_ns),
            min_ns: if new.inverted_min_ns == 0 {
                0
            } else {
                u64::MAX - new.inverted_min_ns
            },
            max_ns: new.max_ns,
            buckets,
        })
    }

    /// Remembers what was stored.
    pub fn advance(&mut self, reading: Reading) {
        self.bucketed += self
            .bucket_deltas(&reading)
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>();
        self.counters = reading.counters;
        self.swept = reading.swept;
        if !reading.buckets.is_empty() {
            self.buckets = reading.buckets;
        }
    }

    fn bucket_deltas(&self, reading: &Reading) -> Vec<(u16, u64)> {
        let mut sums = vec![0_u64; BUCKETS];
        for (cpu, new) in reading.buckets.iter().enumerate() {
            let old = self.buckets.get(cpu).map_or(&[][..], Vec::as_slice);
            for (bucket, count) in new.iter().enumerate() {
                let before = old.get(bucket).copied().unwrap_or(0);
                // Kernel counters wrap at 2^32.
                sums[bucket] += u64::from(count.wrapping_sub(before));
            }
        }
        (0_u16..)
            .zip(sums)
            .filter(|(_, count)| *count != 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(completed: u64, bucket: u32) -> Reading {
        let mut buckets = Buckets {
            counts: [0; BUCKETS],
        };
        buckets.counts[7] = bucket;
        let counters = Counters {
            entered: completed,
            completed,
            total_ns: completed * 7,
            max_ns: 7,
            inverted_min_ns: u64::MAX - 7,
            ..Counters::default()
        };
        let mut reading = Reading {
            counters,
            ..Reading::default()
        };
        reading.keep(0, &buckets);
        reading
    }

    #[test]
    fn nothing_new_is_no_delta() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.delta(0, &Reading::default()), None);
        baseline.advance(reading(3, 3));
        assert_eq!(baseline.delta(0, &reading(3, 3)), None);
    }

    #[test]
    fn delta_is_the_difference_and_survives_wrapping() {
        let mut baseline = Baseline::default();
        baseline.advance(reading(3, u32::MAX - 1));
        let delta = baseline.delta(4, &reading(8, 3)).unwrap();
        assert_eq!((delta.function, delta.calls, delta.total_ns), (4, 5, 35));
        assert_eq!(delta.buckets, [(7, 5)]);
        assert_eq!((delta.min_ns, delta.max_ns), (7, 7));
    }

    #[test]
    fn swept_calls_count_as_unwound() {
        let mut swept = reading(3, 3);
        swept.swept = 2;
        assert_eq!(Baseline::default().delta(0, &swept).unwrap().unwound, 2);
    }
}
