//! Records that travel through the ring buffer, and the losses counted beside it.

use crate::pod;

/// Most frames of a recorded stack.
pub const MAX_FRAMES: usize = 127;

/// `CallRecord::kind`: a call without a stack.
pub const KIND_CALL: u32 = 1;
/// `CallRecord::kind`: a call followed by its stack ([`CallRecordWithStack`]).
pub const KIND_CALL_WITH_STACK: u32 = 2;
/// `CallRecord::kind`: the same of an execution of an async function, which is walked by frame pointers
/// in any case.
pub const KIND_EXECUTION_WITH_STACK: u32 = 9;

/// `SampleHead::kind`: a thread or goroutine ran inside a traced function.
pub const KIND_SAMPLE_CPU: u32 = 3;
/// `SampleHead::kind`: a thread was off CPU inside a traced function.
pub const KIND_SAMPLE_OFF_CPU: u32 = 4;

/// `SampleHead::kind`: a goroutine was parked inside a traced function.
pub const KIND_SAMPLE_PARKED: u32 = 5;
/// `SampleHead::reason` in place of a reason: the goroutine could run, and waited until Go's scheduler let it.
pub const GAVE_WAY: u32 = u32::MAX;
/// `WakerRecord::kind`.
pub const KIND_WAKER: u32 = 6;
/// `ProcessRecord::kind`.
pub const KIND_PROCESS: u32 = 7;

/// `Caller::function`: a call that may be over, since its end was not watched for.
pub const NO_FUNCTION: u32 = u32::MAX;
/// Traced calls around the innermost one that a sample names.
pub const MAX_CALLERS: usize = 7;
/// Most user frames of a waker.
pub const MAX_WAKER_FRAMES: usize = 64;
/// Most kernel frames of a waker.
pub const MAX_WAKER_KERNEL_FRAMES: usize = 32;

/// Most kernel frames of a sample.
pub const MAX_KERNEL_FRAMES: usize = 64;
/// Shortest time off CPU that is sampled, ns.
pub const OFF_CPU_LEAST_NS: u64 = 1_000;
/// Time off CPU from which on every interval is sampled, ns. A shorter one is drawn with a
/// probability proportional to its length and stands for this long, which keeps sums unbiased and
/// the number of samples in bounds.
pub const OFF_CPU_CERTAIN_NS: u64 = 1_000_000;

/// A process makes a call that is followed, for the first time. What it maps has to be read while it lives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessRecord {
    /// `KIND_PROCESS`; first, so that a reader can tell records apart.
    pub kind: u32,
    /// Process (thread group) id, in the initial pid namespace.
    pub pid: u32,
}

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
    /// Duration in ns, without what the probes of this call and of traced callees took.
    pub duration_ns: u64,
    /// `bpf_ktime_get_ns` at the return.
    pub end_ns: u64,
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

impl CallRecord {
    /// What the probes took, ns: with the duration this is the time from entry to return.
    #[must_use]
    pub const fn probes_ns(&self) -> u64 {
        self.end_ns
            .saturating_sub(self.start_ns)
            .saturating_sub(self.duration_ns)
    }
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

/// A traced call around another one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Function index, or [`NO_FUNCTION`].
    pub function: u32,
    /// How far its return address lies above that of the innermost one, bytes.
    pub above: u32,
    /// `bpf_ktime_get_ns` at its entry.
    pub start_ns: u64,
}

/// What a traced function was doing at one instant, or what it waited for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleHead {
    /// `KIND_SAMPLE_*`; first, so that a reader can tell records apart.
    pub kind: u32,
    /// Function index of the innermost open call.
    pub function: u32,
    /// Process (thread group) id, in the initial pid namespace.
    pub pid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// Goroutine id; 0 when not Go or not known.
    pub goid: u64,
    /// `bpf_ktime_get_ns` when it was taken, or when the time off CPU began.
    pub at_ns: u64,
    /// Time that it stands for, ns.
    pub weight_ns: u64,
    /// `bpf_ktime_get_ns` at the entry of the innermost open call.
    pub call_start_ns: u64,
    /// Where the innermost open call returns to; 0 when it could not be read.
    pub return_address: u64,
    /// Bytes of user addresses, or a negative errno from the stack walk.
    pub user_bytes: i64,
    /// Bytes of kernel addresses, 0 when the thread was not in the kernel, or a negative errno from
    /// the stack walk.
    pub kernel_bytes: i64,
    /// How long it was off CPU or parked, ns; 0 for a sample of one that ran.
    pub away_ns: u64,
    /// `bpf_ktime_get_ns` when it could run again; 0 when that was not seen.
    pub woken_ns: u64,
    /// Whose calls: thread id, or address of the goroutine's `runtime.g`.
    pub owner: u64,
    /// Parked: where the function that parks returns to, which a walk at its return skips; else 0.
    pub park_return: u64,
    /// Parked: why, as the Go runtime numbers reasons; or [`GAVE_WAY`]; else 0.
    pub reason: u32,
    /// Off CPU because others were to run (0 or 1): it could have run all the time.
    pub preempted: u32,
    /// Traced calls around the innermost one.
    pub caller_count: u32,
    /// Explicit padding.
    pub pad: u32,
}

/// Most words that follow a [`SampleHead`].
pub const MAX_SAMPLE_WORDS: usize = MAX_CALLERS * CALLER_WORDS + MAX_FRAMES + MAX_KERNEL_FRAMES;

/// Words of a [`Caller`].
pub const CALLER_WORDS: usize = size_of::<Caller>() / 8;

/// A sample as the kernel side puts it together. What it sends ends with the last word in use, or later.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SampleRecord {
    /// What the words are.
    pub head: SampleHead,
    /// One after the other, as many as there are of each: a [`Caller`] for each traced call around the innermost
    /// one, innermost first; user addresses, the interrupted instruction and then return addresses; kernel
    /// addresses, an instruction and then return addresses.
    pub words: [u64; MAX_SAMPLE_WORDS],
}

/// Who ended a wait; sent before the [`SampleRecord`] of the wait.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WakerRecord {
    /// `KIND_WAKER`; first, so that a reader can tell records apart.
    pub kind: u32,
    /// Process (thread group) id of the waker; 0 for the kernel's idle threads.
    pub pid: u32,
    /// Thread id of the waker.
    pub tid: u32,
    /// Explicit padding.
    pub pad: u32,
    /// Who waited: thread id, or address of the goroutine's `runtime.g`.
    pub owner: u64,
    /// [`SampleHead::at_ns`] of the wait.
    pub since_ns: u64,
    /// Goroutine id of the waker; 0 when not Go or not known.
    pub goid: u64,
    /// `comm` of the waker.
    pub name: [u8; 16],
    /// As in [`SampleHead`].
    pub user_bytes: i64,
    /// As in [`SampleHead`].
    pub kernel_bytes: i64,
    /// User addresses.
    pub user: [u64; MAX_WAKER_FRAMES],
    /// Kernel addresses.
    pub kernel: [u64; MAX_WAKER_KERNEL_FRAMES],
}

const _: () = assert!(size_of::<SampleHead>() == 120);
const _: () = assert!(size_of::<Caller>() == 8 * CALLER_WORDS);
const _: () = assert!(size_of::<SampleRecord>() == size_of::<SampleHead>() + 8 * MAX_SAMPLE_WORDS);
const _: () =
    assert!(size_of::<WakerRecord>() == 72 + 8 * (MAX_WAKER_FRAMES + MAX_WAKER_KERNEL_FRAMES));
const _: () = assert!(size_of::<CallRecord>() == 56);
const _: () = assert!(size_of::<CallRecordWithStack>() == 72 + 8 * MAX_FRAMES);

pod!(
    CallRecord,
    CallRecordWithStack,
    Caller,
    ProcessRecord,
    SampleHead,
    SampleRecord,
    WakerRecord
);

/// Why something was not recorded: index into the per-CPU loss counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// A sampled call or a sample did not fit into the ring buffer.
    RingFull = 0,
    /// An entry could not be stored: too many threads or goroutines with open calls.
    OwnersFull = 1,
    /// An entry could not be stored: too many deeply nested open calls.
    DeepFull = 2,
    /// A recorded call or a sample has no user stack because the walk failed.
    StackFailed = 3,
    /// Goroutine state could not be read, so the call was not seen.
    GoroutineUnreadable = 4,
    /// Time off CPU was not recorded: too many threads were off CPU inside traced functions.
    OffCpuFull = 5,
    /// A call was not seen: its end could not be, with so many return probes pending.
    ReturnDepth = 6,
    /// A call is missing from the histogram: more functions were called than there are histograms.
    HistogramsFull = 7,
    /// An execution of an async function was not seen: too many are open, or the future's state
    /// could not be read.
    FuturesFull = 8,
}

impl Loss {
    /// Every cause, in index order.
    pub const ALL: [Self; 9] = [
        Self::RingFull,
        Self::OwnersFull,
        Self::DeepFull,
        Self::StackFailed,
        Self::GoroutineUnreadable,
        Self::OffCpuFull,
        Self::ReturnDepth,
        Self::HistogramsFull,
        Self::FuturesFull,
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
            Self::OffCpuFull => "off_cpu_full",
            Self::ReturnDepth => "return_depth",
            Self::HistogramsFull => "histograms_full",
            Self::FuturesFull => "futures_full",
        }
    }
}
