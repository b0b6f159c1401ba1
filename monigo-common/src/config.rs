//! Settings the user side writes and the kernel programs read.

use crate::{cookie::CLASSES, pod};

/// Settings that may change while probes are attached; one element in an array map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Calls are counted (0 or 1). Set once every probe is in place and cleared before any is
    /// removed, so that all functions are counted over the same time.
    pub armed: u32,
    /// Offset of `pid`, which is the thread's id, in the kernel's `task_struct`, bytes.
    pub task_pid_offset: u32,
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
    /// Offset of `thread.fsbase` in the kernel's `task_struct`, bytes; 0 when not known, and then
    /// all calls of a thread count as made on one stack.
    pub fsbase_offset: u32,
    /// Offset of `mm` in `task_struct`, bytes.
    pub mm_offset: u32,
    /// Offset of `start_stack` in `mm_struct`, bytes.
    pub start_stack_offset: u32,
    /// Only this process is traced; 0 for any. Cheaper than a list of one.
    pub only_pid: u32,
    /// Offset of `prev_state` in the `sched_switch` event, bytes. With raw tracepoints, of the state in
    /// `task_struct`; 0 where the event hands it over.
    pub switch_state_offset: u32,
    /// Offset of `pid` in the `sched_waking` event, bytes; 0 when that is not watched.
    pub waking_pid_offset: u32,
    /// Where Go keeps the current `g`: bytes from the thread pointer, which are never 0; 0 when not
    /// known.
    pub tls_g_offset: i32,
    /// Offset of `curg` in Go's `runtime.m`, bytes; 0 when not known.
    pub curg_offset: u32,
    /// Time on the monotonic clock from which on probes on Go's scheduler were in place, ns: of a goroutine that
    /// parked before, the end may have been missed.
    pub parking_from_ns: u64,
}

const _: () = assert!(size_of::<Control>() == 88);

/// `FunctionControl::watch`: calls are counted and timed.
pub const WATCH_TIMED: u32 = 0;
/// `FunctionControl::watch`: calls are counted when they begin, and no more.
pub const WATCH_COUNTED: u32 = 1;
/// `FunctionControl::watch`: probes that fire are ignored.
pub const WATCH_OFF: u32 = 2;

/// Per-function settings; one element per function in an array map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionControl {
    /// Calls at least this long are always recorded in full; 0 for none.
    pub slow_ns: u64,
    /// `WATCH_*`.
    pub watch: u32,
    /// Number of the time window in which calls are timed; a call that began in another one is
    /// not. 0 as long as timing never paused.
    pub window: u32,
    /// Set of links whose probes count (0 or 1): while links are replaced, both sets fire.
    pub generation: u32,
    /// Explicit padding.
    pub pad: u32,
}

/// What probes cost, in ns, by the class of the entry site and the class of the exit site. One
/// element in an array map; zeros until calibrated.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// What the probes of one call add to its measured duration.
    pub bias_ns: [[u32; CLASSES]; CLASSES],
    /// What the probes of one call take altogether.
    pub cost_ns: [[u32; CLASSES]; CLASSES],
}

/// Where a poll function finds the state of the future that it polls. One element per entry site
/// in an array map; element 0 is not used.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureSite {
    /// Index of the function that executions, from the first poll to completion, count as.
    pub executions: u32,
    /// Which argument register holds the future's address at entry: 0 for the first, 1 for the
    /// second.
    pub argument: u32,
    /// Where in the future its state is, bytes.
    pub state_offset: u32,
    /// Size of the state: 1, 2 or 4 bytes.
    pub state_bytes: u32,
    /// Number of states; a value from here on is none.
    pub states: u32,
    /// Explicit padding.
    pub pad: u32,
}

/// Most future sites in one session, element 0 included; their index has to fit into the cookie's
/// `words`.
pub const MAX_FUTURE_SITES: u32 = 4096;

/// State of a future that was never polled.
pub const STATE_UNRESUMED: u32 = 0;
/// State of a future that has completed.
pub const STATE_RETURNED: u32 = 1;
/// State of a future that a panic has left.
pub const STATE_PANICKED: u32 = 2;

const _: () = assert!(size_of::<FutureSite>() == 24);
const _: () = assert!(MAX_FUTURE_SITES <= 1 << 16);
const _: () = assert!(size_of::<FunctionControl>() == 24);
const _: () = assert!(size_of::<Costs>() == 128);

pod!(Control, FunctionControl, FutureSite, Costs);
