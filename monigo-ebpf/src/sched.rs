//! What threads wait for inside a traced function, and who ends the wait.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_prandom_u32, bpf_ktime_get_ns,
        generated::bpf_ringbuf_output,
    },
    programs::TracePointContext,
};
use monigo_common::{
    config::Control,
    copy::STACK_COPIED,
    event::{KIND_SAMPLE_OFF_CPU, Loss, OFF_CPU_CERTAIN_NS, OFF_CPU_LEAST_NS, SampleRecord},
};

use crate::{
    copy,
    maps::{
        CONTROL, OFF_CPU, RECORDS, SCRATCH, anyone_away, count_away, lose, maybe_away, maybe_open,
    },
    owner,
    record::SUBMIT_FLAGS,
    sample, waker,
};

/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const NO_EXIST: u64 = 1;
/// Bits of `prev_state` that mean a wait; a thread that others took the CPU from has a higher one.
/// Source: Linux `include/linux/sched.h`, `TASK_REPORT`.
const WAITING: u64 = 0xff;

/// A field of 4 bytes of the event, at an offset from the kernel's own description. Where it usually
/// is, it is read without a helper.
#[inline(always)]
fn field<const USUAL: usize>(ctx: &TracePointContext, offset: u32) -> Option<u32> {
    if offset as usize == USUAL {
        // SAFETY: the event has a field there. Volatile, or the compiler reads at a variable offset,
        // which the verifier does not allow.
        return Some(unsafe {
            ctx.as_ptr()
                .cast::<u8>()
                .add(USUAL)
                .cast::<u32>()
                .read_volatile()
        });
    }
    // SAFETY: the helper checks the address.
    unsafe { ctx.read_at::<u32>(offset as usize) }.ok()
}

/// Usual offset of `next_pid` in `sched_switch`, and of `pid` in `sched_waking`.
const NEXT_PID: usize = 56;
const WOKEN_PID: usize = 24;

/// The current thread leaves its CPU to another one.
#[inline(always)]
pub fn switch(ctx: &TracePointContext) {
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    if anyone_away()
        && let Some(next) = field::<NEXT_PID>(ctx, control.switch_next_offset)
        && maybe_away(next)
    {
        resume(next);
    }
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    if pid != 0 && maybe_open(pid) && owner::is_traced(control, pid) {
        suspend(ctx, control, pid, tid);
    }
}

/// Remembers when and where a thread inside a traced function leaves its CPU.
#[inline(always)]
fn suspend(ctx: &TracePointContext, control: &Control, pid: u32, tid: u32) {
    let Some(inside) = sample::inside_current(control, pid, tid, None) else {
        return;
    };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let copied = copy::keep(control, &inside, pid, tid);
    // SAFETY: the offset comes from the kernel's own description of the event.
    let state = unsafe { ctx.read_at::<u64>(control.switch_state_offset as usize) };
    // SAFETY: `scratch` points to a live map value, which nothing else on this CPU uses: switches
    // do not nest. `ctx` is the program's context.
    let sample = unsafe {
        sample::fill(ctx, scratch, KIND_SAMPLE_OFF_CPU, &inside, true, copied);
        (*scratch).preempted = u32::from(state.is_ok_and(|state| state & WAITING == 0));
        &*scratch
    };
    if OFF_CPU.insert(tid, sample, NO_EXIST).is_ok() {
        count_away(tid, 1);
    } else if OFF_CPU.insert(tid, sample, 0).is_err() {
        lose(Loss::OffCpuFull);
    }
}

/// Sends how long a thread was off CPU, if it left inside a traced function.
#[inline(always)]
fn resume(tid: u32) {
    let Some(sample) = OFF_CPU.get_ptr_mut(tid) else {
        return;
    };
    // SAFETY: takes no arguments; `sample` points to a live map value of a thread that does not
    // run yet.
    let away_ns = unsafe { bpf_ktime_get_ns().saturating_sub((*sample).at_ns) };
    if let Some(weight_ns) = weight_ns(away_ns) {
        // SAFETY: as above; the ring buffer copies the record.
        let sent = unsafe {
            (*sample).weight_ns = weight_ns;
            if (*sample).user_bytes == STACK_COPIED {
                copy::send_kept(tid);
            }
            (*sample).away_ns = away_ns;
            bpf_ringbuf_output(
                (&raw const RECORDS).cast_mut().cast(),
                sample.cast(),
                size_of::<SampleRecord>() as u64,
                SUBMIT_FLAGS,
            )
        };
        if sent != 0 {
            lose(Loss::RingFull);
        }
    }
    if OFF_CPU.remove(tid).is_ok() {
        count_away(tid, -1);
    }
}

/// The current thread, or an interrupt on top of it, lets another thread run.
#[inline(always)]
pub fn waking(ctx: &TracePointContext) {
    if !anyone_away() {
        return;
    }
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let Some(tid) = field::<WOKEN_PID>(ctx, control.waking_pid_offset) else {
        return;
    };
    if !maybe_away(tid) {
        return;
    }
    let Some(sample) = OFF_CPU.get_ptr_mut(tid) else {
        return;
    };
    // SAFETY: takes no arguments; `sample` points to a live map value of a thread that does not
    // run yet.
    let (owner, since_ns, now_ns) = unsafe {
        let now_ns = bpf_ktime_get_ns();
        if (*sample).preempted != 0 || (*sample).woken_ns != 0 {
            return;
        }
        (*sample).woken_ns = now_ns;
        ((*sample).owner, (*sample).at_ns, now_ns)
    };
    if now_ns.saturating_sub(since_ns) >= OFF_CPU_CERTAIN_NS {
        waker::send(ctx.as_ptr(), owner, since_ns, 0, true);
    }
}

/// What an interval stands for, if it is drawn.
#[inline(always)]
pub fn weight_ns(away_ns: u64) -> Option<u64> {
    if away_ns >= OFF_CPU_CERTAIN_NS {
        return Some(away_ns);
    }
    // SAFETY: takes no arguments.
    let draw = u64::from(unsafe { bpf_get_prandom_u32() }) % OFF_CPU_CERTAIN_NS;
    (away_ns >= OFF_CPU_LEAST_NS && draw < away_ns).then_some(OFF_CPU_CERTAIN_NS)
}
