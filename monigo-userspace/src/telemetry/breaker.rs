//! When a receiver is asked again after it failed.
//!
//! Failures are repeated after a wait that doubles. After some in a row the breaker opens: nothing is
//! attempted for a while. Then it is half open, and one attempt decides whether it closes, or stays open
//! for twice as long.

use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// Waits between attempts, and of the open breaker: the first and the longest.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Before the first repetition; doubles.
    pub retry: Duration,
    /// Longest wait between two attempts.
    pub retry_most: Duration,
    /// First time that the breaker is open; doubles.
    pub open: Duration,
    /// Longest time that it is open.
    pub open_most: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(1),
            retry_most: Duration::from_secs(16),
            open: Duration::from_secs(30),
            open_most: Duration::from_mins(5),
        }
    }
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Attempts are made.
    Closed,
    /// Attempts failed, and are repeated.
    Failing,
    /// Nothing is attempted.
    Open,
    /// One attempt decides.
    HalfOpen,
}

/// Counts failures.
#[derive(Debug)]
pub struct Breaker {
    waits: Waits,
    failures: u32,
    /// When the next attempt may be made.
    again: Option<Instant>,
    /// How long it was open last.
    open_for: Duration,
}

impl Breaker {
    /// Closed.
    pub fn new(waits: Waits) -> Self {
        Self {
            waits,
            failures: 0,
            again: None,
            open_for: Duration::ZERO,
        }
    }

    /// When the next attempt may be made; `None` for now.
    pub fn wait_until(&self) -> Option<Instant> {
        self.again
    }

    /// An attempt succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.waits);
    }

    /// An attempt failed. `asked` is how long the receiver asked to be left alone.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>) {
        self.failures += 1;
        let waits = self.waits;
        let wait = if self.failures < FAILURES {
            let doubled = waits.retry * 2u32.pow(self.failures - 1);
            doubled.min(waits.retry_most)
        } else {
            let longer = (self.open_for * 2).max(waits.open);
            self.open_for = longer.min(waits.open_most);
            self.open_for
        };
        self.again = Some(now + wait.max(asked.unwrap_or_default()).min(waits.open_most));
    }

    /// Where it stands at `now`.
    pub fn stand(&self, now: Instant) -> Stand {
        match self.failures {
            0 => Stand::Closed,
            1..FAILURES => Stand::Failing,
            _ if self.again.is_some_and(|again| now < again) => Stand::Open,
            _ => Stand::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_and_recovers() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Waits::default());
        let waits = |breaker: &Breaker| breaker.wait_until().map(|again| (again - start).as_secs());
        assert_eq!(
            (breaker.stand(start), waits(&breaker)),
            (Stand::Closed, None)
        );
        for (failures, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
            breaker.failed(start, None);
            assert_eq!(breaker.stand(start), Stand::Failing, "{failures}");
            assert_eq!(waits(&breaker), Some(wait));
        }
        breaker.failed(start, None);
        assert_eq!(
            (breaker.stand(start), waits(&breaker)),
            (Stand::Open, Some(30))
        );
        let later = start + Duration::from_secs(30);
        assert_eq!(breaker.stand(later), Stand::HalfOpen);
        breaker.failed(later, None);
        assert_eq!(
            (breaker.stand(later), waits(&breaker)),
            (Stand::Open, Some(90))
        );
        for _ in 0..10 {
            breaker.failed(later, None);
        }
        assert_eq!(waits(&breaker), Some(330), "no longer than five minutes");
        breaker.succeeded();
        assert_eq!(breaker.stand(later), Stand::Closed);
        breaker.failed(start, Some(Duration::from_secs(7)));
        assert_eq!(waits(&breaker), Some(7), "as the receiver asked");
    }
}
