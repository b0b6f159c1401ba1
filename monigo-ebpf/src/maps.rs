//! Every map. Sizes written here are placeholders where the user side sets them before loading.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use monigo_common::{
    config::{Control, Costs, FunctionControl, FutureSite},
    copy::{CopyControl, MAX_COPY_BYTES, StackCopy},
    counters::{Buckets, Counters},
    event::{Loss, SampleRecord},
    open::{
        DEEP_CALLS, DeepKey, ForeignKey, FutureKey, FutureState, OpenCall, OpenCalls, OwnerKey,
    },
};

use crate::atomic;

/// Settings; one element.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Settings per function; sized by the user side.
#[map]
pub static FUNCTIONS: Array<FunctionControl> = Array::with_max_entries(1, 0);

/// Exact counters per function; sized by the user side.
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// What probes cost; one element.
#[map]
pub static COSTS: Array<Costs> = Array::with_max_entries(1, 0);

/// Histogram of each function: index plus one, 0 for none yet; sized by the user side.
#[map]
pub static SLOTS: Array<u64> = Array::with_max_entries(1, 0);

/// Histograms handed out so far; one element.
#[map]
pub static NEXT_SLOT: Array<u64> = Array::with_max_entries(1, 0);

/// Latency histograms, handed out to functions as they are called; sized by the user side.
#[map]
pub static HISTOGRAMS: PerCpuArray<Buckets> = PerCpuArray::with_max_entries(1, 0);

/// Open calls per thread or goroutine; sized by the user side.
#[map]
pub static OPEN: HashMap<OwnerKey, OpenCalls> = HashMap::with_max_entries(16_384, 0);

/// An owner without open calls: one element, never written. It is too large for a program's stack.
#[map]
pub static NOTHING_OPEN: Array<OpenCalls> = Array::with_max_entries(1, 0);

/// Open calls on stacks that are not their thread's own.
#[map]
pub static FOREIGN: HashMap<ForeignKey, OpenCall> = HashMap::with_max_entries(16_384, 0);

/// Open calls nested too deeply for `OPEN`.
#[map]
pub static DEEP: HashMap<DeepKey, OpenCall> = HashMap::with_max_entries(DEEP_CALLS, 0);

/// Nothing but a number of elements to call a function for: the loop of kernels without `bpf_loop`.
#[cfg(feature = "portable")]
#[map]
pub static ROUNDS: Array<u8> = Array::with_max_entries(monigo_common::open::MAX_UNWIND, 0);

/// Where poll functions find the state of their futures; sized by the user side.
#[map]
pub static FUTURE_SITES: Array<FutureSite> = Array::with_max_entries(1, 0);

/// Executions of async functions; sized by the user side.
#[map]
pub static FUTURES: HashMap<FutureKey, FutureState> = HashMap::with_max_entries(1, 0);

/// Calls recorded in full; sized by the user side.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// Losses by cause.
#[map]
pub static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::COUNT as u32, 0);

/// Processes to trace when `Control::only_listed` is set.
#[map]
pub static PROCESSES: HashMap<u32, u8> = HashMap::with_max_entries(16_384, 0);

/// Calls admitted so far, when `Control::max_calls` is set; one element.
#[map]
pub static ADMITTED: Array<u64> = Array::with_max_entries(1, 0);

/// Threads that are off CPU inside a traced function, by thread id, with the sample to send when
/// they run again; sized by the user side.
#[map]
pub static OFF_CPU: HashMap<u32, SampleRecord> = HashMap::with_max_entries(1, 0);

/// How many they are, by a few bits of what tells threads apart, and behind these all together: most
/// switches and wake-ups on a host are of no interest, and this tells without a look at `OFF_CPU`.
#[map]
pub static AWAY: Array<u64> = Array::with_max_entries(AWAY_SLOTS + 1, 0);

/// Slots of `AWAY`; a power of two.
pub const AWAY_SLOTS: u32 = 4096;

#[inline(always)]
fn away(slot: u32) -> bool {
    // SAFETY: the pointer is to a live, aligned map value.
    AWAY.get_ptr(slot)
        .is_some_and(|count| unsafe { count.read_volatile() } != 0)
}

/// Whether any thread is off CPU inside a traced function.
#[inline(always)]
pub fn anyone_away() -> bool {
    away(AWAY_SLOTS)
}

/// Whether a thread that counts in `slot` may be.
#[inline(always)]
pub fn maybe_away(slot: u32) -> bool {
    away(slot)
}

/// A thread that counts in `slot` leaves (1) or comes back (-1).
#[inline(always)]
pub fn count_away(slot: u32, change: i64) {
    for slot in [slot, AWAY_SLOTS] {
        if let Some(count) = AWAY.get_ptr_mut(slot) {
            add(count, change as u64);
        }
    }
}

/// The processes that calls opened in last, by the lowest bits of their ids; 0 for none yet. The first test of
/// programs that run for every process.
#[map]
pub static MAYBE_OPEN: Array<u64> = Array::with_max_entries(MAYBE_OPEN_SLOTS, 0);

/// Slots of `MAYBE_OPEN`; a power of two.
const MAYBE_OPEN_SLOTS: u32 = 4096;

/// Whether process `pid` may have calls open.
#[inline(always)]
pub fn maybe_open(pid: u32) -> bool {
    // SAFETY: the pointer is to a live, aligned map value.
    MAYBE_OPEN
        .get_ptr(pid & (MAYBE_OPEN_SLOTS - 1))
        .is_some_and(|slot| unsafe { slot.read_volatile() } != 0)
}

/// Notes that process `pid` may have calls open from now on. Returns whether it may be the first time.
#[inline(always)]
pub fn note_open(pid: u32) -> bool {
    let Some(slot) = MAYBE_OPEN.get_ptr_mut(pid & (MAYBE_OPEN_SLOTS - 1)) else {
        return false;
    };
    // SAFETY: the pointer is to a live, aligned map value; whoever else writes it writes a process, too.
    unsafe {
        let last = slot.read_volatile();
        slot.write_volatile(u64::from(pid));
        last != u64::from(pid)
    }
}

/// Parks of goroutines, inside traced functions or not, and ends of parks: what the probes on the
/// Go runtime have fired.
#[map]
pub static PARK_PROBES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where a sample is put together: it is too large for a program's stack.
#[map]
pub static SCRATCH: PerCpuArray<SampleRecord> = PerCpuArray::with_max_entries(1, 0);

/// The same of a look at a CPU, which may interrupt programs that use the other one. As it is always the same memory, it
/// is in the caches, which what the ring buffer has next is not.
#[map]
pub static LOOK: PerCpuArray<SampleRecord> = PerCpuArray::with_max_entries(1, 0);

/// What is copied of stacks; one element.
#[map]
pub static COPY: Array<CopyControl> = Array::with_max_entries(1, 0);

/// Stacks of threads that are off CPU inside a traced function, or were, by thread id; sized by the
/// user side.
#[map]
pub static KEPT: HashMap<u32, StackCopy<MAX_COPY_BYTES>> = HashMap::with_max_entries(1, 0);

/// What a thread's place in `KEPT` begins as: one element, never written.
#[map]
pub static NOTHING_KEPT: Array<StackCopy<MAX_COPY_BYTES>> = Array::with_max_entries(1, 0);

/// Adds to a counter. Atomic although most counters are per CPU: a probe program can be preempted
/// by a task that runs one on the same CPU.
#[inline(always)]
pub fn add(counter: *mut u64, value: u64) {
    // SAFETY: counters are aligned fields of map values, which live as long as the program.
    unsafe { atomic::add_u64(counter, value) };
}

/// Raises a counter to `value` if it is lower.
#[inline(always)]
pub fn raise(counter: *mut u64, value: u64) {
    // SAFETY: as in `add`.
    let mut current = unsafe { counter.read_volatile() };
    // Only a preempting program on this CPU competes, so a few tries are plenty.
    for _ in 0..4 {
        if current >= value {
            return;
        }
        // SAFETY: as in `add`.
        let found = unsafe { atomic::compare_exchange_u64(counter, current, value) };
        if found == current {
            return;
        }
        current = found;
    }
}

/// Counts a loss.
#[inline(always)]
pub fn lose(cause: Loss) {
    if let Some(count) = LOSSES.get_ptr_mut(cause as u32) {
        add(count, 1);
    }
}
