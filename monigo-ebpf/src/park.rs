//! What goroutines wait for inside a traced function: Go's scheduler parks them without a thread
//! switch.

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
};
use monigo_common::{
    config::Control,
    cookie::{Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, condition_holds},
    event::{
        GAVE_WAY, KIND_SAMPLE_OFF_CPU, KIND_SAMPLE_PARKED, Loss, OFF_CPU_CERTAIN_NS, SampleHead,
        SampleRecord,
    },
    open::OwnerKey,
};

use crate::{
    maps::{OPEN, PARK_PROBES, RECORDS, add, lose},
    owner::{self, user_word},
    record, sample, sched, waker,
};

/// Counts what the probes on the Go runtime have fired; their cost counts against the budget.
#[inline(always)]
fn count() {
    if let Some(fired) = PARK_PROBES.get_ptr_mut(0) {
        add(fired, 1);
    }
}

#[inline(always)]
fn key(pid: u32, g: u64) -> OwnerKey {
    OwnerKey {
        pid,
        pad: 0,
        owner: g,
    }
}

/// How long a goroutine did not run.
struct Away {
    since_ns: u64,
    ns: u64,
    weight_ns: u64,
}

impl Away {
    /// # Safety
    /// `head` must point to that of a live record.
    #[inline(always)]
    unsafe fn note(&self, head: *mut SampleHead) {
        // SAFETY: promised by the caller.
        unsafe {
            (*head).at_ns = self.since_ns;
            (*head).away_ns = self.ns;
            (*head).weight_ns = self.weight_ns;
        }
    }
}

/// For one that runs again, and is away since `since_ns`; none for one whose leave was not seen, or before
/// the probes that see all of them were in place, and for one that is not drawn.
#[inline(always)]
fn away(control: &Control, since_ns: u64) -> Option<Away> {
    if since_ns == 0 || since_ns < control.parking_from_ns {
        return None;
    }
    // SAFETY: takes no arguments.
    let ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(since_ns);
    let weight_ns = sched::weight_ns(ns)?;
    Some(Away {
        since_ns,
        ns,
        weight_ns,
    })
}

/// `runtime.gopark(unlockf, lock, reason, ...)` is entered by the goroutine in `r14`.
#[inline(always)]
pub fn park<C: EbpfContext>(ctx: &C) {
    let Some((_, thread)) = owner::settings_if_traced() else {
        return;
    };
    count();
    let regs: *const pt_regs = ctx.as_ptr().cast_const().cast();
    // SAFETY: `regs` is the program's context.
    let (g, reason) = unsafe { ((*regs).r14, (*regs).rcx) };
    let Some(open) = OPEN.get_ptr_mut(key(thread.pid, g)) else {
        return;
    };
    // SAFETY: `open` points to a live map value.
    unsafe {
        if (*open).depth == 0 {
            return;
        }
        (*open).park_reason = reason as u32 & 0xff;
        (*open).ready_ns = 0;
        (*open).parked_ns = bpf_ktime_get_ns();
    }
}

/// `runtime.gopark` returns: the goroutine in `r14` runs again.
#[inline(always)]
pub fn unpark<C: EbpfContext>(ctx: &C) {
    let Some((control, thread)) = owner::settings_if_traced() else {
        return;
    };
    // SAFETY: a probe's context.
    let cookie = Cookie::unpack(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    let regs: *const pt_regs = ctx.as_ptr().cast_const().cast();
    // Volatile for the verifier's sake, as in `call::exit`. SAFETY: `regs` is the program's context.
    let (g, sp, fp, flags) = unsafe {
        (
            (&raw const (*regs).r14).read_volatile(),
            (&raw const (*regs).rsp).read_volatile(),
            (&raw const (*regs).rbp).read_volatile(),
            (*regs).eflags,
        )
    };
    if cookie.flags & FLAG_CONDITIONAL != 0 && !condition_holds(cookie.condition, flags) {
        return;
    }
    count();
    let Some(open) = OPEN.get_ptr_mut(key(thread.pid, g)) else {
        return;
    };
    // SAFETY: `open` points to a live map value.
    let (parked_ns, ready_ns, reason) = unsafe {
        let parked_ns = (*open).parked_ns;
        (*open).parked_ns = 0;
        (parked_ns, (*open).ready_ns, (*open).park_reason)
    };
    let Some(away) = away(control, parked_ns) else {
        return;
    };
    let Some(inside) = sample::inside_goroutine(control, thread.pid, g, sp) else {
        return;
    };
    let base = if cookie.flags & FLAG_FRAME_POINTER == 0 {
        sp
    } else {
        fp
    };
    let park_return = user_word(base + u64::from(cookie.words) * 8).unwrap_or(0);
    let Some(mut entry) = RECORDS.reserve::<SampleRecord>(0) else {
        lose(Loss::RingFull);
        return;
    };
    let out = entry.as_mut_ptr();
    // SAFETY: `out` is a reserved record of this type; `ctx` is the program's context.
    unsafe {
        let returns_to = inside.return_address();
        sample::fill(
            ctx,
            out,
            KIND_SAMPLE_PARKED,
            &inside,
            returns_to,
            false,
            false,
        );
        let head = &raw mut (*out).head;
        away.note(head);
        (*head).woken_ns = ready_ns;
        (*head).reason = reason;
        (*head).park_return = park_return;
    }
    record::submit(entry);
}

/// `runtime.ready(gp, ...)` is entered: the goroutine `gp` may run again.
#[inline(always)]
pub fn ready<C: EbpfContext>(ctx: &C) {
    let Some((control, thread)) = owner::settings_if_traced() else {
        return;
    };
    count();
    let regs: *const pt_regs = ctx.as_ptr().cast_const().cast();
    // SAFETY: `regs` is the program's context.
    let (gp, g) = unsafe { ((*regs).rax, (*regs).r14) };
    let Some(open) = OPEN.get_ptr_mut(key(thread.pid, gp)) else {
        return;
    };
    // SAFETY: `open` points to a live map value.
    let (since_ns, now_ns) = unsafe {
        let now_ns = bpf_ktime_get_ns();
        if (*open).parked_ns == 0 || (*open).ready_ns != 0 {
            return;
        }
        (*open).ready_ns = now_ns;
        ((*open).parked_ns, now_ns)
    };
    if now_ns.saturating_sub(since_ns) < OFF_CPU_CERTAIN_NS {
        return;
    }
    // It runs on the scheduler's stack on behalf of the waker.
    let goid = match owner::user_g(control, g) {
        Some(user) if control.goid_offset != 0 => {
            user_word(user + u64::from(control.goid_offset)).unwrap_or(0)
        }
        _ => 0,
    };
    waker::send(ctx.as_ptr(), gp, since_ns, goid, false);
}

/// The goroutine in `rax` is put into a queue of those that can run: it was preempted, gave way, or
/// came back from a system call and finds no processor. It is the first argument of each of the
/// functions that do so, on the scheduler's stack.
#[inline(always)]
pub fn give_way<C: EbpfContext>(ctx: &C) {
    let Some((_, thread)) = owner::settings_if_traced() else {
        return;
    };
    count();
    let regs: *const pt_regs = ctx.as_ptr().cast_const().cast();
    // SAFETY: `regs` is the program's context.
    let gp = unsafe { (*regs).rax };
    let Some(open) = OPEN.get_ptr_mut(key(thread.pid, gp)) else {
        return;
    };
    // SAFETY: `open` points to a live map value.
    unsafe {
        if (*open).depth == 0 {
            return;
        }
        (*open).park_reason = GAVE_WAY;
        (*open).ready_ns = 0;
        (*open).parked_ns = bpf_ktime_get_ns();
    }
}

/// `runtime.execute(gp, ...)` is entered: the goroutine in `rax` is about to run. Ends of parks are
/// seen where the goroutine can be looked at, see [`unpark`].
#[inline(always)]
pub fn execute<C: EbpfContext>(ctx: &C) {
    let Some((control, thread)) = owner::settings_if_traced() else {
        return;
    };
    count();
    let regs: *const pt_regs = ctx.as_ptr().cast_const().cast();
    // SAFETY: `regs` is the program's context.
    let gp = unsafe { (*regs).rax };
    let Some(open) = OPEN.get_ptr_mut(key(thread.pid, gp)) else {
        return;
    };
    // SAFETY: `open` points to a live map value.
    let since_ns = unsafe {
        if (*open).parked_ns == 0 || (*open).park_reason != GAVE_WAY {
            return;
        }
        let since_ns = (*open).parked_ns;
        (*open).parked_ns = 0;
        (*open).park_reason = 0;
        since_ns
    };
    let Some(away) = away(control, since_ns) else {
        return;
    };
    let Some(inside) = sample::inside_goroutine(control, thread.pid, gp, 0) else {
        return;
    };
    let Some(mut entry) = RECORDS.reserve::<SampleRecord>(0) else {
        lose(Loss::RingFull);
        return;
    };
    let out = entry.as_mut_ptr();
    // SAFETY: `out` is a reserved record of this type; `ctx` is the program's context.
    unsafe {
        // The stack is the scheduler's, so none is taken.
        let returns_to = inside.return_address();
        sample::fill(
            ctx,
            out,
            KIND_SAMPLE_OFF_CPU,
            &inside,
            returns_to,
            false,
            true,
        );
        let head = &raw mut (*out).head;
        (*head).user_bytes = 0;
        away.note(head);
        (*head).preempted = 1;
        (*head).reason = GAVE_WAY;
    }
    record::submit(entry);
}
