//! Waiting for something that takes as long as the host makes it: while it changes, it is on its way.

use std::time::{Duration, Instant};

/// Since when a value is the same.
#[derive(Debug)]
pub struct Standstill<T> {
    last: Option<T>,
    since: Instant,
}

impl<T> Default for Standstill<T> {
    fn default() -> Self {
        Self {
            last: None,
            since: Instant::now(),
        }
    }
}

impl<T: PartialEq> Standstill<T> {
    /// For how long the value has been this one.
    pub fn at(&mut self, value: T) -> Duration {
        if self.last.as_ref() != Some(&value) {
            self.last = Some(value);
            self.since = Instant::now();
        }
        self.since.elapsed()
    }
}
