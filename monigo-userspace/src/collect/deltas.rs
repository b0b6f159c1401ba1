//! Differences between two readings of a function's cumulative counters.

use monigo_common::{
    counters::{Buckets, Counters},
    histogram::BUCKETS,
};

use crate::store::FunctionDelta;

/// How the calls in an interval were watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watched {
    /// All counted, all timed.
    Fully,
    /// All counted when they began; some timed.
    InPart,
    /// Counted for a part of the time, and here is how much longer the whole is.
    Sampled {
        /// The whole time divided by the part, at least 1.
        factor: f64,
        /// Share of the part that the probes took from the target, below 1: where that slows it
        /// down, it makes more calls outside windows.
        slowed: f64,
    },
}

/// Of the normal distribution, for an interval of 95 %.
const QUANTILE: f64 = 1.96;

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
    /// Calls stored as begun and not as ended.
    open: u64,
    /// Mean durations of calls that were timed last, total and self, ns.
    means: (f64, f64),
    /// Last estimate of the rate, and whether there is one; calls per interval.
    estimate: Option<f64>,
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

    /// Summed duration of the calls that were timed since, ns.
    pub fn measured_ns(&self, reading: &Reading) -> u64 {
        reading
            .counters
            .total_ns
            .wrapping_sub(self.counters.total_ns)
    }

    /// The difference to `reading`, or `None` when nothing happened.
    pub fn delta(
        &self,
        function: u32,
        reading: &Reading,
        watched: Watched,
    ) -> Option<FunctionDelta> {
        let (new, old) = (&reading.counters, &self.counters);
        let timed = new.completed - old.completed;
        let buckets = self.bucket_deltas(reading);
        if new == old && reading.swept == self.swept && buckets.is_empty() {
            return None;
        }
        let mut delta = FunctionDelta {
            function,
            entered: new.entered - old.entered,
            calls: timed,
            unwound: (new.unwound + reading.swept) - (old.unwound + self.swept),
            unmatched: new.unmatched - old.unmatched,
            timed,
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
        };
        // What began and is not known to be still open has ended.
        let ended =
            |delta: &FunctionDelta| (delta.entered + self.open).saturating_sub(delta.unwound);
        match watched {
            // Calls may have been taken for ended while ends were not watched.
            Watched::Fully => delta.calls = delta.calls.min(ended(&delta)),
            Watched::InPart => {
                let calls = ended(&delta);
                self.spread(&mut delta, calls);
            }
            Watched::Sampled { factor, slowed } => {
                let counted = delta.entered as f64;
                delta.entered = (counted * factor).round() as u64;
                delta.unwound = (delta.unwound as f64 * factor).round() as u64;
                let calls = ended(&delta);
                // Windows that hit by chance, and change from one window to the next.
                let chance = counted * factor * factor * (1.0 - 1.0 / factor.max(1.0));
                let shift = self
                    .estimate
                    .map_or(0.0, |before| counted * factor - before);
                let faster = counted * factor * (1.0 / (1.0 - slowed) - 1.0) / QUANTILE;
                let variance = chance.max(shift * shift / 2.0) + faster * faster;
                delta.variance = variance.round() as u64;
                self.spread(&mut delta, calls);
            }
        }
        Some(delta)
    }

    /// Makes what was measured of the timed calls stand for `calls` calls.
    fn spread(&self, delta: &mut FunctionDelta, calls: u64) {
        delta.timed = delta.timed.min(calls);
        delta.calls = calls;
        if delta.timed == 0 {
            delta.total_ns = (self.means.0 * calls as f64) as u64;
            delta.self_ns = (self.means.1 * calls as f64) as u64;
            return;
        }
        let factor = calls as f64 / delta.timed as f64;
        delta.total_ns = (delta.total_ns as f64 * factor) as u64;
        delta.self_ns = (delta.self_ns as f64 * factor) as u64;
        // Rounded so that the sum comes out right.
        let (mut exact, mut given) = (0.0, 0);
        for (_, count) in &mut delta.buckets {
            exact += *count as f64 * factor;
            let upto = exact.round() as u64;
            *count = upto - given;
            given = upto;
        }
        delta.buckets.retain(|(_, count)| *count > 0);
    }

    /// Remembers what was stored: `reading`, as `delta`.
    pub fn advance(&mut self, reading: Reading, delta: Option<&FunctionDelta>, watched: Watched) {
        if let Some(delta) = delta {
            self.open = (self.open + delta.entered).saturating_sub(delta.calls + delta.unwound);
            if delta.calls > 0 && delta.timed > 0 {
                let calls = delta.calls as f64;
                self.means = (delta.total_ns as f64 / calls, delta.self_ns as f64 / calls);
            }
        }
        self.estimate = match (watched, delta) {
            (Watched::Sampled { .. }, delta) => Some(delta.map_or(0.0, |d| d.entered as f64)),
            _ => None,
        };
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
        if reading.buckets.is_empty() {
            return Vec::new();
        }
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

    fn advance(baseline: &mut Baseline, reading: Reading, watched: Watched) -> FunctionDelta {
        let delta = baseline.delta(0, &reading, watched);
        baseline.advance(reading, delta.as_ref(), watched);
        delta.unwrap_or_default()
    }

    fn begun(entered: u64, completed: u64) -> Reading {
        let mut reading = reading(completed, completed as u32);
        reading.counters.entered = entered;
        reading
    }

    #[test]
    fn counts_from_the_entry_alone_are_exact() {
        let mut baseline = Baseline::default();
        // Two calls are open when timing becomes partial; all that began is then taken for ended.
        let first = advance(&mut baseline, begun(10, 8), Watched::Fully);
        assert_eq!((first.entered, first.calls), (10, 8));
        let second = advance(&mut baseline, begun(110, 18), Watched::InPart);
        assert_eq!((second.calls, second.timed), (102, 10));
        assert_eq!(second.total_ns, 7 * 102);
        assert_eq!(second.buckets, [(7, 102)]);
        // Nothing timed: the mean stands in.
        let third = advance(&mut baseline, begun(210, 18), Watched::InPart);
        assert_eq!((third.calls, third.timed, third.total_ns), (100, 0, 700));
        // Ends of calls that were taken for ended do not count twice.
        let fourth = advance(&mut baseline, begun(215, 25), Watched::Fully);
        assert_eq!((fourth.entered, fourth.calls), (5, 5));
    }

    #[test]
    fn a_part_of_the_time_is_scaled_up_with_its_error() {
        let mut baseline = Baseline::default();
        let watched = Watched::Sampled {
            factor: 10.0,
            slowed: 0.0,
        };
        let first = advance(&mut baseline, begun(100, 100), watched);
        assert_eq!((first.entered, first.calls, first.timed), (1000, 1000, 100));
        assert_eq!(first.buckets, [(7, 1000)]);
        assert_eq!(
            first.variance, 9000,
            "100 calls by chance, times 10 squared"
        );
        let second = advance(&mut baseline, begun(300, 300), watched);
        assert_eq!(second.calls, 2000);
        assert_eq!(second.variance, 500_000, "half the squared change");
        // Probes that take half of the window may hide as many calls as were seen.
        let slowed = Watched::Sampled {
            factor: 10.0,
            slowed: 0.5,
        };
        let third = advance(&mut baseline, begun(500, 500), slowed);
        let half_width = (third.variance as f64).sqrt() * QUANTILE;
        assert!(half_width >= 2000.0, "{half_width}");
    }

    #[test]
    fn nothing_new_is_no_delta() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.delta(0, &Reading::default(), Watched::Fully), None);
        advance(&mut baseline, reading(3, 3), Watched::Fully);
        assert_eq!(baseline.delta(0, &reading(3, 3), Watched::Fully), None);
    }

    #[test]
    fn delta_is_the_difference_and_survives_wrapping() {
        let mut baseline = Baseline::default();
        advance(&mut baseline, reading(3, u32::MAX - 1), Watched::Fully);
        let delta = baseline.delta(4, &reading(8, 3), Watched::Fully).unwrap();
        assert_eq!((delta.function, delta.calls, delta.total_ns), (4, 5, 35));
        assert_eq!(delta.buckets, [(7, 5)]);
        assert_eq!((delta.min_ns, delta.max_ns), (7, 7));
    }

    #[test]
    fn swept_calls_count_as_unwound() {
        let mut swept = reading(3, 3);
        swept.swept = 2;
        let delta = Baseline::default()
            .delta(0, &swept, Watched::Fully)
            .unwrap();
        assert_eq!(delta.unwound, 2);
    }
}
