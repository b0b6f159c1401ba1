//! Exact per-function counters, one copy per CPU, only ever added to.

use crate::{histogram::BUCKETS, pod};

/// Counters of one function on one CPU. Cumulative since attach.
///
/// A probe program can be preempted and its CPU can run another one, so every field is updated
/// atomically although the map is per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls whose entry was seen.
    pub entered: u64,
    /// Calls that returned (or left by a tail call).
    pub completed: u64,
    /// Calls ended by a panic, an exception, `longjmp`, or the end of their thread.
    pub unwound: u64,
    /// Returns without a recorded entry: the call began before monigo attached, or its entry
    /// could not be stored (see [`crate::event::Loss`]).
    pub unmatched: u64,
    /// Sum of the durations of completed calls, in ns.
    pub total_ns: u64,
    /// The same without time in traced callees.
    pub self_ns: u64,
    /// Longest completed call, in ns.
    pub max_ns: u64,
    /// `u64::MAX` minus the shortest completed call in ns, so that zero means "none yet".
    pub inverted_min_ns: u64,
}

const _: () = assert!(size_of::<Counters>() == 8 * 8);

/// Latency histogram of one function on one CPU.
///
/// Buckets wrap at 2^32; readers take wrapping differences often enough (each flush).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    /// Completed calls per bucket, see [`crate::histogram`].
    pub counts: [u32; BUCKETS],
}

const _: () = assert!(size_of::<Buckets>() == BUCKETS * 4);

pod!(Counters, Buckets);
