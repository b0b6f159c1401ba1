//! Settings the user side writes and the kernel programs read.

use crate::pod;

/// Settings that may change while probes are attached; one element in an array map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Calls are counted (0 or 1). Set once every probe is in place and cleared before any is
    /// removed, so that all functions are counted over the same time.
    pub armed: u32,
    /// Explicit padding.
    pub pad: u32,
    /// One call in this many is recorded in full; 0 records none, 1 all.
    pub sample_every: u32,
    /// Whether recorded calls carry a stack (0 or 1).
    pub stacks: u32,
    /// Calls to admit before ignoring further entries; 0 for no limit.
    pub max_calls: u64,
    /// Only processes in the `PROCESSES` map are traced (0 or 1).
    pub only_listed: u32,
    /// Children of listed processes are listed too (0 or 1).
    pub follow_forks: u32,
    /// Offset of `goid` in Go's `runtime.g`, bytes; 0 when not known.
    pub goid_offset: u32,
    /// Offset of `child_pid` in the `sched_process_fork` event, bytes; it differs among kernels.
    pub fork_child_offset: u32,
    /// Offset of `next_pid` in the `sched_switch` event, bytes; it differs among kernels.
    pub switch_next_offset: u32,
    /// Calls belong to goroutines (0 or 1).
    pub goroutines: u32,
}

const _: () = assert!(size_of::<Control>() == 48);

/// Per-function settings; one element per function in an array map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionControl {
    /// Calls at least this long are always recorded in full; `u64::MAX` for none.
    pub slow_ns: u64,
}

const _: () = assert!(size_of::<FunctionControl>() == 8);

pod!(Control, FunctionControl);
