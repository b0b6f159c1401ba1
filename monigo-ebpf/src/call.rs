//! A call begins, a call ends.

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
};
use monigo_common::{
    config::Control,
    cookie::{Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, FLAG_JUMP, condition_holds},
    counters::Counters,
    event::Loss,
    histogram,
    open::{INLINE_DEPTH, OpenCall, OpenCalls},
};

use crate::{
    atomic,
    maps::{ADMITTED, COUNTERS, HISTOGRAMS, OPEN, add, lose, raise},
    owner::{self, Owner},
    record,
    stack::Stack,
};

#[inline(always)]
fn cookie_of<C: EbpfContext>(ctx: &C) -> Cookie {
    // SAFETY: a probe's context.
    Cookie::unpack(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) })
}

#[inline(always)]
fn registers<C: EbpfContext>(ctx: &C) -> *const pt_regs {
    ctx.as_ptr().cast_const().cast()
}

/// Counts and remembers the beginning of a call.
#[inline(always)]
pub fn entry<C: EbpfContext>(ctx: &C) {
    let Some(control) = owner::settings_if_traced() else {
        return;
    };
    let cookie = cookie_of(ctx);
    let regs = registers(ctx);
    // SAFETY: `regs` is the program's context.
    let sp = unsafe { (*regs).rsp };
    let Some(owner) = owner::identify(regs, sp, cookie, control) else {
        lose(Loss::GoroutineUnreadable);
        return;
    };
    let Some(open) = open_calls(&owner) else {
        lose(Loss::OwnersFull);
        return;
    };
    let mut stack = Stack::new(open, owner.key);
    // SAFETY: `open` points to a live map value.
    if unsafe { (*open).goid } != owner.goid {
        // The runtime reused this g for another goroutine.
        stack.unwind_all();
        // SAFETY: as above.
        unsafe { (*open).goid = owner.goid };
    }
    // A call at the same position has ended too: nothing can be called from its frame's place
    // while it runs.
    stack.unwind_below(owner.position.saturating_add(1));
    if !admit(control) {
        return;
    }
    let call = OpenCall {
        position: owner.position,
        start_ns: 0,
        function: cookie.function,
        pad: 0,
    };
    if !stack.push(call) {
        lose(Loss::DeepFull);
        return;
    }
    if let Some(counters) = COUNTERS.get_ptr_mut(cookie.function) {
        // SAFETY: `counters` points to a live map value.
        add(unsafe { &raw mut (*counters).entered }, 1);
    }
    // Last, so that the work above is not measured as part of the call.
    // SAFETY: takes no arguments.
    stack.start(unsafe { bpf_ktime_get_ns() });
}

/// Takes one of `max_calls` tickets.
#[inline(always)]
fn admit(control: &Control) -> bool {
    if control.max_calls == 0 {
        return true;
    }
    let Some(admitted) = ADMITTED.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: `admitted` points to a live, aligned map value.
    unsafe { atomic::fetch_add_u64(admitted, 1) < control.max_calls }
}

#[inline(always)]
fn open_calls(owner: &Owner) -> Option<*mut OpenCalls> {
    if let Some(open) = OPEN.get_ptr_mut(owner.key) {
        return Some(open);
    }
    let empty = OpenCalls {
        goid: owner.goid,
        depth: 0,
        pad: 0,
        calls: [OpenCall {
            position: 0,
            start_ns: 0,
            function: 0,
            pad: 0,
        }; INLINE_DEPTH],
    };
    OPEN.insert(owner.key, empty, 0).ok()?;
    OPEN.get_ptr_mut(owner.key)
}

/// Matches the end of a call with its beginning and measures it. `popped_bytes` is how far the
/// stack pointer is above where it was at entry.
#[inline(always)]
pub fn exit<C: EbpfContext>(ctx: &C, popped_bytes: u64) {
    // First, so that the work below is not measured as part of the call.
    // SAFETY: takes no arguments.
    let end_ns = unsafe { bpf_ktime_get_ns() };
    let Some(control) = owner::settings_if_traced() else {
        return;
    };
    let cookie = cookie_of(ctx);
    let regs = registers(ctx);
    // SAFETY: `regs` is the program's context.
    let (register, flags) = unsafe {
        let base = if cookie.flags & FLAG_FRAME_POINTER == 0 {
            (*regs).rsp
        } else {
            (*regs).rbp
        };
        (base, (*regs).eflags)
    };
    let sp = register + u64::from(cookie.words) * 8 - popped_bytes;
    if cookie.flags & FLAG_CONDITIONAL != 0 && !condition_holds(cookie.condition, flags) {
        return;
    }
    let Some(counters) = COUNTERS.get_ptr_mut(cookie.function) else {
        return;
    };
    let Some(owner) = owner::identify(regs, sp, cookie, control) else {
        lose(Loss::GoroutineUnreadable);
        return;
    };
    let call = OPEN.get_ptr_mut(owner.key).and_then(|open| {
        let mut stack = Stack::new(open, owner.key);
        stack.unwind_below(owner.position);
        let top = stack.top()?;
        if top.position != owner.position || top.function != cookie.function {
            return None;
        }
        stack.pop();
        Some(top)
    });
    let Some(call) = call else {
        // A jump with the frame still in place goes to a part of the function elsewhere.
        // Beyond `max_calls`, entries are ignored on purpose.
        if cookie.flags & FLAG_JUMP == 0 && control.max_calls == 0 {
            // SAFETY: `counters` points to a live map value.
            add(unsafe { &raw mut (*counters).unmatched }, 1);
        }
        return;
    };
    let duration_ns = end_ns.saturating_sub(call.start_ns);
    account(counters, cookie.function, duration_ns);
    record::maybe(
        ctx,
        control,
        cookie.function,
        &call,
        duration_ns,
        sp,
        &owner,
    );
}

#[inline(always)]
fn account(counters: *mut Counters, function: u32, duration_ns: u64) {
    // SAFETY: `counters` points to a live map value.
    unsafe {
        add(&raw mut (*counters).completed, 1);
        add(&raw mut (*counters).total_ns, duration_ns);
        raise(&raw mut (*counters).max_ns, duration_ns);
        raise(&raw mut (*counters).inverted_min_ns, u64::MAX - duration_ns);
    }
    let Some(buckets) = HISTOGRAMS.get_ptr_mut(function) else {
        return;
    };
    let bucket = histogram::bucket_of(duration_ns);
    if bucket < histogram::BUCKETS {
        // SAFETY: the index is inside the array of a live map value.
        unsafe {
            let count = (&raw mut (*buckets).counts).cast::<u32>().add(bucket);
            atomic::add_u32(count, 1);
        }
    }
}
