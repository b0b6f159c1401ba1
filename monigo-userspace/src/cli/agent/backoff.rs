//! When something that failed is tried again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    next: Option<Instant>,
}

impl Backoff {
    /// Whether it is time to try.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// It failed; the time until the next attempt.
    pub fn fail(&mut self, now: Instant) -> Duration {
        let wait = FIRST.saturating_mul(2u32.saturating_pow(self.failures.min(10)));
        let wait = wait.min(LONGEST);
        self.failures += 1;
        self.next = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_get_longer() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.is_due(now));
        assert_eq!(backoff.fail(now), FIRST);
        assert!(!backoff.is_due(now));
        assert!(backoff.is_due(now + FIRST));
        let waits: Vec<u64> = (0..8).map(|_| backoff.fail(now).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
