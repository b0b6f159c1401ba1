//! Open calls: what a thread or goroutine has entered and not yet left.

use crate::pod;

/// Innermost calls kept inside [`OpenCalls`]; deeper ones go to an overflow map.
pub const INLINE_DEPTH: usize = 8;
/// Open calls that the overflow map holds, of all owners together.
pub const DEEP_CALLS: u32 = 1 << 16;
/// Most calls that one event may close as unwound, plus one: as many as can be open.
pub const MAX_UNWIND: u32 = DEEP_CALLS + INLINE_DEPTH as u32 + 1;

/// Who makes a call: a thread, or a goroutine in Go programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    /// Thread-group id (what user space calls the pid).
    pub pid: u32,
    /// Explicit padding, zero.
    pub pad: u32,
    /// Thread id, or the address of `runtime.g` for a goroutine.
    pub owner: u64,
}

/// One open call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenCall {
    /// Position on the stack: the stack pointer at entry, or for goroutines the stack pointer
    /// minus `g.stack.hi` (which survives stack copying). Outer calls compare higher.
    pub position: u64,
    /// `bpf_ktime_get_ns` at entry.
    pub start_ns: u64,
    /// Time in traced callees so far, without what their probes cost.
    pub nested_ns: u64,
    /// What the probes of traced callees cost so far.
    pub probes_ns: u64,
    /// Function index.
    pub function: u32,
    /// [`crate::config::FunctionControl::window`] at entry.
    pub window: u32,
    /// Class of the entry site, see [`crate::cookie::CLASSES`].
    pub class: u32,
    /// Index of the [`crate::config::FutureSite`] if the call polls a future that is followed,
    /// else 0.
    pub future_site: u32,
    /// Address of that future.
    pub future: u64,
}

/// All open calls of one owner.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OpenCalls {
    /// Goroutine id when the owner is a goroutine: `g` structures are reused.
    pub goid: u64,
    /// Number of open calls. Those from [`INLINE_DEPTH`] on are in the overflow map.
    pub depth: u32,
    /// The kernel has not said yet where the owner's own stack is (0 or 1); until then every stack
    /// is taken for it.
    pub unbounded: u32,
    /// Lowest address of the owner's own stack; 0 for goroutines. Calls on other stacks (those of
    /// signal handlers and coroutines) have no order, and are kept by address.
    pub stack_low: u64,
    /// First address above it; `u64::MAX` for goroutines.
    pub stack_high: u64,
    /// `bpf_ktime_get_ns` when the goroutine was parked with calls open; 0 while it runs.
    pub parked_ns: u64,
    /// `bpf_ktime_get_ns` when it was made ready to run again; 0 before, and when not seen.
    pub ready_ns: u64,
    /// Why it is parked, as the Go runtime numbers reasons.
    pub park_reason: u32,
    /// Explicit padding.
    pub pad: u32,
    /// The outermost calls.
    pub calls: [OpenCall; INLINE_DEPTH],
}

/// Key of a call on a stack that is not its thread's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ForeignKey {
    /// Thread-group id.
    pub pid: u32,
    /// Explicit padding, zero.
    pub pad: u32,
    /// Stack pointer at entry.
    pub position: u64,
}

/// Key of an overflowed call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeepKey {
    /// Whose call.
    pub owner: OwnerKey,
    /// Its index among the owner's open calls.
    pub depth: u64,
}

/// Key of an execution of an async function: the future it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FutureKey {
    /// Thread-group id.
    pub pid: u32,
    /// Index of the [`crate::config::FutureSite`]: a future can lie at the very address of the one
    /// that it is part of.
    pub site: u32,
    /// Address, which does not change once the future has been polled.
    pub address: u64,
}

/// An execution of an async function, from its first poll on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FutureState {
    /// `bpf_ktime_get_ns` at the beginning of the first poll.
    pub start_ns: u64,
    /// Time in polls so far.
    pub polled_ns: u64,
    /// The same without time in traced callees.
    pub self_ns: u64,
    /// What probes cost in polls so far.
    pub probes_ns: u64,
}

const _: () = assert!(size_of::<FutureKey>() == 16);
const _: () = assert!(size_of::<FutureState>() == 32);
const _: () = assert!(size_of::<OwnerKey>() == 16);
const _: () = assert!(size_of::<OpenCall>() == 56);
const _: () = assert!(size_of::<OpenCalls>() == 56 + 56 * INLINE_DEPTH);
const _: () = assert!(size_of::<DeepKey>() == 24);
const _: () = assert!(size_of::<ForeignKey>() == 16);

pod!(
    OwnerKey,
    OpenCall,
    OpenCalls,
    ForeignKey,
    DeepKey,
    FutureKey,
    FutureState
);
