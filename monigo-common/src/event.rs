//! Records that travel through the ring buffer, and the losses counted beside it.

use crate::pod;

/// Most frames of a recorded stack.
pub const MAX_FRAMES: usize = 127;

/// `CallRecord::kind`: a call without a stack.
pub const KIND_CALL: u32 = 1;
/// `CallRecord::kind`: a call followed by its stack ([`CallRecordWithStack`]).
pub const KIND_CALL_WITH_STACK: u32 = 2;

/// One completed call in full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallRecord {
    /// `KIND_*`; first, so that a reader can tell records apart.
    pub kind: u32,
    /// Function index.
    pub function: u32,
    /// `bpf_ktime_get_ns` at entry.
    pub start_ns: u64,
    /// Duration in ns.
    pub duration_ns: u64,
    /// Process (thread group) id, in the initial pid namespace.
    pub pid: u32,
    /// Thread id, in the initial pid namespace, at the return.
    pub tid: u32,
    /// Goroutine id; 0 when not Go or not known.
    pub goid: u64,
    /// CPU at the return.
    pub cpu: u32,
    /// How many completed calls this record stands for: 1 if recorded for being slow, else the
    /// sampling rate in force.
    pub weight: u32,
}

/// A call and the user stack at its end, innermost frame first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CallRecordWithStack {
    /// The call.
    pub call: CallRecord,
    /// Bytes of `frames` that hold addresses, or a negative errno from the stack walk.
    pub stack_bytes: i64,
    /// Word at the stack pointer: the return address into the caller, which a frame-pointer
    /// walk at a `ret` skips.
    pub return_address: u64,
    /// Instruction addresses: the probed site, then return addresses.
    pub frames: [u64; MAX_FRAMES],
}

const _: () = assert!(size_of::<CallRecord>() == 48);
const _: () = assert!(size_of::<CallRecordWithStack>() == 64 + 8 * MAX_FRAMES);

pod!(CallRecord, CallRecordWithStack);

/// Why something was not recorded: index into the per-CPU loss counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// A sampled call record did not fit into the ring buffer.
    RingFull = 0,
    /// An entry could not be stored: too many threads or goroutines with open calls.
    OwnersFull = 1,
    /// An entry could not be stored: too many deeply nested open calls.
    DeepFull = 2,
    /// A recorded call has no stack because the walk failed.
    StackFailed = 3,
    /// Goroutine state could not be read, so the call was not seen.
    GoroutineUnreadable = 4,
}

impl Loss {
    /// Every cause, in index order.
    pub const ALL: [Self; 5] = [
        Self::RingFull,
        Self::OwnersFull,
        Self::DeepFull,
        Self::StackFailed,
        Self::GoroutineUnreadable,
    ];
    /// Number of causes.
    pub const COUNT: usize = Self::ALL.len();

    /// Stable name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::OwnersFull => "owners_full",
            Self::DeepFull => "deep_full",
            Self::StackFailed => "stack_failed",
            Self::GoroutineUnreadable => "goroutine_unreadable",
        }
    }
}
