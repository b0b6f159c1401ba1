//! What threads wait for inside a traced function, and who ends the wait.

#[cfg(feature = "portable")]
mod fields;
#[cfg(not(feature = "portable"))]
mod raw;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_pid_tgid, bpf_get_prandom_u32, bpf_ktime_get_ns},
};
use monigo_common::{
    config::Control,
    copy::STACK_COPIED,
    event::{KIND_SAMPLE_OFF_CPU, Loss, OFF_CPU_CERTAIN_NS, OFF_CPU_LEAST_NS},
};

pub use self::event::Context;
use self::event::{Thread, preempted};
#[cfg(feature = "portable")]
use self::fields as event;
#[cfg(not(feature = "portable"))]
use self::raw as event;
use crate::{
    copy::{self, Registers},
    maps::{CONTROL, OFF_CPU, SCRATCH, anyone_away, count_away, lose, maybe_away, maybe_open},
    owner, sample, waker,
};

/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const NO_EXIST: u64 = 1;

/// The current thread leaves its CPU to another one.
#[inline(always)]
pub fn switch(ctx: &Context) {
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    if anyone_away() {
        if let Some(next) = Thread::next(ctx, control)
            && maybe_away(next.slot())
            && let Some(tid) = next.tid(control)
        {
            resume(next, tid, true);
        }
        // A kernel can keep some switches to itself; this thread came back by one, then.
        let leaving = Thread::leaving(ctx, tid);
        if maybe_away(leaving.slot()) {
            resume(leaving, tid, false);
        }
    }
    if pid != 0 && maybe_open(pid) && owner::is_traced(control, pid) {
        suspend(ctx, control, pid, tid);
    }
}

/// Remembers when and where a thread inside a traced function leaves its CPU.
#[inline(always)]
fn suspend(ctx: &Context, control: &Control, pid: u32, tid: u32) {
    let registers = Registers::of_task();
    let Some(inside) = sample::inside_current(control, pid, tid, None, registers.sp) else {
        return;
    };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return;
    };
    let copied = copy::keep(control, &inside, registers, pid, tid);
    // SAFETY: `scratch` points to a live map value, which nothing else on this CPU uses: switches
    // do not nest. `ctx` is the program's context.
    let sample = unsafe {
        let returns_to = inside.return_address_after(scratch);
        sample::fill(
            ctx,
            scratch,
            KIND_SAMPLE_OFF_CPU,
            &inside,
            returns_to,
            true,
            copied,
        );
        (*scratch).head.preempted = u32::from(preempted(ctx, control));
        &*scratch
    };
    if OFF_CPU.insert(tid, sample, NO_EXIST).is_ok() {
        count_away(Thread::leaving(ctx, tid).slot(), 1);
    } else if OFF_CPU.insert(tid, sample, 0).is_err() {
        lose(Loss::OffCpuFull);
    }
}

/// Sends how long a thread was off CPU, if it left inside a traced function. It comes back now, or has
/// done so unseen: then it waited until it was woken, and how long it could have run is not known.
#[inline(never)]
fn resume(thread: Thread, tid: u32, seen: bool) {
    let Some(sample) = OFF_CPU.get_ptr_mut(tid) else {
        return;
    };
    // SAFETY: takes no arguments; `sample` points to a live map value of a thread that does not
    // run yet, or is the current one.
    let away_ns = unsafe {
        let until_ns = if seen {
            bpf_ktime_get_ns()
        } else {
            (*sample).head.woken_ns
        };
        until_ns.saturating_sub((*sample).head.at_ns)
    };
    if let Some(weight_ns) = weight_ns(away_ns) {
        // SAFETY: as above.
        unsafe {
            (*sample).head.weight_ns = weight_ns;
            if (*sample).head.user_bytes == STACK_COPIED {
                copy::send_kept(tid);
            }
            (*sample).head.away_ns = away_ns;
            sample::send(sample);
        }
    }
    if OFF_CPU.remove(tid).is_ok() {
        count_away(thread.slot(), -1);
    }
}

/// The current thread, or an interrupt on top of it, lets another thread run.
#[inline(always)]
pub fn waking(ctx: &Context) {
    if !anyone_away() {
        return;
    }
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let Some(woken) = Thread::woken(ctx, control) else {
        return;
    };
    if !maybe_away(woken.slot()) {
        return;
    }
    let Some(tid) = woken.tid(control) else {
        return;
    };
    let Some(sample) = OFF_CPU.get_ptr_mut(tid) else {
        return;
    };
    // SAFETY: takes no arguments; `sample` points to a live map value of a thread that does not
    // run yet.
    let (owner, since_ns, now_ns) = unsafe {
        let now_ns = bpf_ktime_get_ns();
        if (*sample).head.preempted != 0 || (*sample).head.woken_ns != 0 {
            return;
        }
        (*sample).head.woken_ns = now_ns;
        ((*sample).head.owner, (*sample).head.at_ns, now_ns)
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
