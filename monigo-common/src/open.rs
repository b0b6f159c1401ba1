//! Open calls: what a thread or goroutine has entered and not yet left.

use crate::pod;

/// Innermost calls kept inside [`OpenCalls`]; deeper ones go to an overflow map.
pub const INLINE_DEPTH: usize = 8;
/// Most calls that one event may close as unwound: more than can be open.
pub const MAX_UNWIND: u32 = 1 << 20;

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
    /// Function index.
    pub function: u32,
    /// Explicit padding.
    pub pad: u32,
}

/// All open calls of one owner.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OpenCalls {
    /// Goroutine id when the owner is a goroutine: `g` structures are reused.
    pub goid: u64,
    /// Number of open calls. Those from [`INLINE_DEPTH`] on are in the overflow map.
    pub depth: u32,
    /// Explicit padding.
    pub pad: u32,
    /// The outermost calls.
    pub calls: [OpenCall; INLINE_DEPTH],
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

const _: () = assert!(size_of::<OwnerKey>() == 16);
const _: () = assert!(size_of::<OpenCall>() == 24);
const _: () = assert!(size_of::<OpenCalls>() == 16 + 24 * INLINE_DEPTH);
const _: () = assert!(size_of::<DeepKey>() == 24);

pod!(OwnerKey, OpenCall, OpenCalls, DeepKey);
