//! Kernel time to Unix time.

use nix::time::{ClockId, clock_gettime};

/// Unix time in ns.
pub fn unix_ns() -> i64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Offset between the clock of the kernel programs and Unix time, fixed when made, so that the
/// order of events survives a step of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: i64,
}

impl Clock {
    /// Compares both clocks.
    pub fn new() -> Self {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let unix = unix_ns();
        let after = read(ClockId::CLOCK_MONOTONIC);
        Self {
            offset_ns: unix - (before + (after - before) / 2),
        }
    }

    /// Unix time in ns of a `bpf_ktime_get_ns` reading.
    pub fn unix_of(self, ktime_ns: u64) -> i64 {
        i64::try_from(ktime_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset_ns)
    }

    /// Unix time in ns now, on this clock.
    pub fn now(self) -> i64 {
        read(ClockId::CLOCK_MONOTONIC).saturating_add(self.offset_ns)
    }
}

fn read(clock: ClockId) -> i64 {
    // These clocks cannot fail on Linux.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
