//! What threads wait for inside a traced function. Goroutines wait without a thread switch, so
//! this is not used for Go.

use aya_ebpf::{
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
    maps::{CONTROL, OFF_CPU, RECORDS, SCRATCH, lose},
    owner,
    record::SUBMIT_FLAGS,
    sample,
};

/// The current thread leaves its CPU to another one.
#[inline(always)]
pub fn switch(ctx: &TracePointContext) {
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    // SAFETY: the offset comes from the kernel's own description of the event.
    if let Ok(next) = unsafe { ctx.read_at::<u32>(control.switch_next_offset as usize) } {
        resume(next);
    }
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    if pid != 0 && owner::is_traced(control, pid) {
        suspend(ctx, control, pid, tid);
    }
}

/// Remembers when and where a thread inside a traced function leaves its CPU.
#[inline(always)]
fn suspend(ctx: &TracePointContext, control: &Control, pid: u32, tid: u32) {
    let Some(inside) = sample::inside_thread(pid, tid) else {
        return;
    };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let copied = copy::keep(control, &inside, pid, tid);
    // SAFETY: `scratch` points to a live map value, which nothing else on this CPU uses: switches
    // do not nest. `ctx` is the program's context.
    let sample = unsafe {
        sample::fill(ctx, scratch, KIND_SAMPLE_OFF_CPU, &inside, true, copied);
        &*scratch
    };
    if OFF_CPU.insert(tid, sample, 0).is_err() {
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
    let _ = OFF_CPU.remove(tid);
}

/// What an interval stands for, if it is drawn.
#[inline(always)]
fn weight_ns(away_ns: u64) -> Option<u64> {
    if away_ns >= OFF_CPU_CERTAIN_NS {
        return Some(away_ns);
    }
    // SAFETY: takes no arguments.
    let draw = u64::from(unsafe { bpf_get_prandom_u32() }) % OFF_CPU_CERTAIN_NS;
    (away_ns >= OFF_CPU_LEAST_NS && draw < away_ns).then_some(OFF_CPU_CERTAIN_NS)
}
