//! One computation for any number of readers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Remembers a value for a time. Those who ask while it is being computed wait for it.
pub struct Cache<T> {
    time_to_live: Duration,
    /// The value lives at least this many times as long as it took to compute.
    rest: u32,
    /// But no longer than this, unless `time_to_live` is longer.
    at_most: Duration,
    now: fn() -> Instant,
    last: Mutex<Option<Last<T>>>,
}

struct Last<T> {
    value: Arc<T>,
    made: Instant,
    /// How long it must serve, whoever asks.
    rests: Duration,
}

impl<T> Cache<T> {
    /// Values live for `time_to_live`, or for `rest` times as long as computing took if that is
    /// longer.
    pub const fn new(time_to_live: Duration, rest: u32) -> Self {
        Self {
            time_to_live,
            rest,
            at_most: Duration::MAX,
            now: Instant::now,
            last: Mutex::new(None),
        }
    }

    /// However long computing took, values rest no longer than `at_most`.
    #[must_use]
    pub fn at_most(self, at_most: Duration) -> Self {
        Self { at_most, ..self }
    }

    /// With another clock, for tests.
    #[cfg(test)]
    #[must_use]
    pub fn with_clock(self, now: fn() -> Instant) -> Self {
        Self { now, ..self }
    }

    /// The value, from `compute` if the last one is too old. The monotonic clock decides, so steps
    /// of the wall clock make nothing older or younger.
    pub fn get(&self, compute: impl FnOnce() -> T) -> Arc<T> {
        self.get_within(self.time_to_live, compute)
    }

    /// The same, with a shorter time to live.
    pub fn get_within(&self, age: Duration, compute: impl FnOnce() -> T) -> Arc<T> {
        let mut last = crate::sync::lock(&self.last);
        if let Some(last) = &*last
            && (self.now)().duration_since(last.made) < age.max(last.rests)
        {
            return Arc::clone(&last.value);
        }
        let began = (self.now)();
        let value = Arc::new(compute());
        let made = (self.now)();
        *last = Some(Last {
            value: Arc::clone(&value),
            made,
            rests: (made - began).saturating_mul(self.rest).min(self.at_most),
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn a_hundred_readers_cost_one_computation() {
        let cache = Cache::new(Duration::from_hours(1), 0);
        let (computed, start) = (AtomicU32::new(0), Barrier::new(100));
        let read = || {
            start.wait();
            *cache.get(|| computed.fetch_add(1, Ordering::SeqCst) + 1)
        };
        let values: Vec<u32> = thread::scope(|scope| {
            let readers: Vec<_> = (0..100).map(|_| scope.spawn(read)).collect();
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .collect()
        });
        assert_eq!(computed.load(Ordering::SeqCst), 1);
        assert!(values.iter().all(|value| *value == 1));
    }

    #[test]
    fn old_values_are_computed_again() {
        let cache = Cache::new(Duration::ZERO, 0);
        assert_eq!(*cache.get(|| 1), 1);
        assert_eq!(*cache.get(|| 2), 2);
    }

    #[test]
    fn what_takes_long_is_kept_longer() {
        let cache = Cache::new(Duration::ZERO, 1_000_000);
        let slow = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {
                std::hint::spin_loop();
            }
            1
        };
        assert_eq!(*cache.get(slow), 1);
        assert_eq!(*cache.get(|| 2), 1);
    }

    #[test]
    fn a_panic_of_one_reader_does_not_spoil_it_for_others() {
        let cache: Cache<u32> = Cache::new(Duration::from_hours(1), 0);
        let panics = std::panic::AssertUnwindSafe(|| cache.get(|| panic!("on purpose")));
        assert!(std::panic::catch_unwind(|| *panics()).is_err());
        assert_eq!(*cache.get(|| 2), 2);
    }
}
