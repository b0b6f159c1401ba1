//! When to send: waits between attempts, and a limit on the rate. Pure, with the time handed in.

use std::time::{Duration, Instant};

/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The wait after `failures` failures in a row, at least 1: doubling from `first`, at most 5 minutes.
/// `chance`, in 0..1, takes up to a quarter off, so that many monigos do not come back together.
pub fn backoff(first: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
    doubled
        .min(LONGEST_WAIT)
        .mul_f64(1.0 - chance.clamp(0.0, 1.0) / 4.0)
}

/// At most so many a minute, that many at once.
#[derive(Debug)]
pub struct Rate {
    per_minute: u32,
    tokens: f64,
    refilled: Instant,
}

impl Rate {
    /// At most `per_minute`, at least 1.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = per_minute.max(1);
        Self {
            per_minute,
            tokens: f64::from(per_minute),
            refilled: now,
        }
    }

    /// Takes one if it is there, else says how long to wait for it.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(self.per_minute) / 60.0;
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second).min(f64::from(self.per_minute));
        self.refilled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let wait = |failures| backoff(Duration::from_secs(1), failures, 0.0).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 1000].map(wait), [1, 2, 4, 256, 300, 300]);
        assert_eq!(
            backoff(Duration::from_secs(4), 1, 1.0),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn a_minute_has_so_many() {
        let start = Instant::now();
        let mut rate = Rate::new(30, start);
        for _ in 0..30 {
            assert_eq!(rate.take(start), Ok(()));
        }
        let wait = rate.take(start).unwrap_err();
        assert!((wait.as_secs_f64() - 2.0).abs() < 1e-6, "{wait:?}");
        let sent =
            (1..=60).filter(|second| rate.take(start + Duration::from_secs(*second)).is_ok());
        assert_eq!(sent.count(), 30);
    }
}
