//! Which calls are recorded in full, and the records.

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_USER_STACK, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_get_prandom_u32, bpf_get_smp_processor_id,
        generated::{bpf_get_stack, bpf_ringbuf_output},
    },
    maps::ring_buf::RingBufEntry,
};
use monigo_common::{
    config::{Control, FunctionControl},
    copy::KIND_CALL_COPIED,
    event::{
        CallRecord, CallRecordWithStack, KIND_CALL, KIND_CALL_WITH_STACK,
        KIND_EXECUTION_WITH_STACK, KIND_PROCESS, Loss, MAX_FRAMES, ProcessRecord,
    },
    open::OpenCall,
};

use crate::{
    copy,
    maps::{RECORDS, lose},
    owner::Owner,
};

/// The user side looks some times a second, for waking it costs the target. It is woken each time that as many more
/// bytes wait for it as this power of two.
const WAKE_BITS: u32 = 20;

/// How a record of `bytes` is sent, when `waiting` bytes lie before it in the ring buffer.
#[inline(always)]
const fn flags(waiting: u64, bytes: u64) -> u64 {
    if (waiting ^ (waiting + in_ring(bytes))) >> WAKE_BITS == 0 {
        BPF_RB_NO_WAKEUP as u64
    } else {
        BPF_RB_FORCE_WAKEUP as u64
    }
}

/// Bytes that a record takes in the ring buffer: a head comes before it, and it ends at a multiple of 8. Source:
/// `BPF_RINGBUF_HDR_SZ` of Linux `include/uapi/linux/bpf.h`.
#[inline(always)]
const fn in_ring(bytes: u64) -> u64 {
    (bytes + 8).next_multiple_of(8)
}

/// Sends a reserved record.
#[inline(always)]
pub fn submit<T>(entry: RingBufEntry<T>) {
    let bytes = size_of::<T>() as u64;
    let reserved = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA));
    let waiting = reserved.saturating_sub(in_ring(bytes));
    entry.submit(flags(waiting, bytes));
}

/// Sends that a process is followed from now on, and wakes the user side for it.
#[inline(always)]
pub fn announce(pid: u32) {
    let record = ProcessRecord {
        kind: KIND_PROCESS,
        pid,
    };
    // If there is no room, its calls tell of it.
    let _ = RECORDS.output::<ProcessRecord>(&record, u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends the first `bytes` of a record; one that there is no room for is counted.
///
/// # Safety
/// `record` must point to as many bytes of a live map value.
#[inline(always)]
pub unsafe fn send<T>(record: *mut T, bytes: u64) {
    let flags = flags(RECORDS.query(u64::from(BPF_RB_AVAIL_DATA)), bytes);
    let ring = (&raw const RECORDS).cast_mut();
    // SAFETY: `ring` is a ring buffer, which copies the bytes.
    let sent = unsafe { bpf_ringbuf_output(ring.cast(), record.cast(), bytes, flags) };
    if sent != 0 {
        lose(Loss::RingFull);
    }
}

/// How long a call took, ns.
#[derive(Clone, Copy)]
pub struct Took {
    /// Without what probes took.
    pub duration_ns: u64,
    /// `bpf_ktime_get_ns` at its end.
    pub end_ns: u64,
}

/// Records the call if it is slow or drawn. `sp` is what the stack pointer was at its entry: there
/// lies its return address. Stacks of an `EXECUTION` are not copied: up to Linux 6.12 there is no room
/// for that much nesting.
#[inline(always)]
pub fn maybe<C: EbpfContext, const EXECUTION: bool>(
    ctx: &C,
    control: &Control,
    settings: &FunctionControl,
    call: &OpenCall,
    Took {
        duration_ns,
        end_ns,
    }: Took,
    sp: u64,
    owner: &Owner,
) {
    let slow_ns = settings.slow_ns;
    let weight = if slow_ns != 0 && duration_ns >= slow_ns {
        1
    } else {
        let every = control.sample_every;
        if every == 0 || (every > 1 && !drawn(every)) {
            return;
        }
        every
    };
    let copied = !EXECUTION && control.stacks != 0 && copy::of_call(ctx, control, owner, sp);
    let walked = control.stacks != 0 && !copied;
    let record = CallRecord {
        kind: if copied {
            KIND_CALL_COPIED
        } else if walked && EXECUTION {
            KIND_EXECUTION_WITH_STACK
        } else if walked {
            KIND_CALL_WITH_STACK
        } else {
            KIND_CALL
        },
        function: call.function,
        start_ns: call.start_ns,
        duration_ns,
        end_ns,
        pid: owner.key.pid,
        tid: owner.tid,
        goid: owner.goid,
        // SAFETY: takes no arguments.
        cpu: unsafe { bpf_get_smp_processor_id() },
        weight,
    };
    if walked {
        with_stack(ctx, record, sp);
    } else if let Some(mut entry) = RECORDS.reserve::<CallRecord>(0) {
        entry.write(record);
        submit(entry);
    } else {
        lose(Loss::RingFull);
    }
}

/// True one time in `every`.
#[inline(always)]
fn drawn(every: u32) -> bool {
    // SAFETY: takes no arguments.
    let random = u64::from(unsafe { bpf_get_prandom_u32() });
    // Where in `0..every` the number lies; a division would take longer.
    (random * u64::from(every)) >> 32 == 0
}

#[inline(always)]
fn with_stack<C: EbpfContext>(ctx: &C, record: CallRecord, sp: u64) {
    let Some(mut entry) = RECORDS.reserve::<CallRecordWithStack>(0) else {
        lose(Loss::RingFull);
        return;
    };
    let out = entry.as_mut_ptr();
    // SAFETY: `out` is a reserved record of this type; user memory is read by helpers that check
    // the address.
    let bytes = unsafe {
        (&raw mut (*out).call).write(record);
        (&raw mut (*out).return_address).write(copy::return_address(ctx, sp));
        let bytes = bpf_get_stack(
            ctx.as_ptr(),
            (&raw mut (*out).frames).cast(),
            (MAX_FRAMES * 8) as u32,
            u64::from(BPF_F_USER_STACK),
        );
        (&raw mut (*out).stack_bytes).write(bytes);
        bytes
    };
    submit(entry);
    if bytes < 0 {
        lose(Loss::StackFailed);
    }
}
