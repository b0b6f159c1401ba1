//! Threads and what they share.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread::ScopedJoinHandle,
};

/// Locks `mutex`, which a panic elsewhere does not spoil: what it guards is valid at every instant.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of a thread. A panic there goes on here.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
