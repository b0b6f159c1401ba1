//! A call begins, a call ends.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
};
use monigo_common::{
    config::{Control, FunctionControl, WATCH_COUNTED, WATCH_OFF},
    cookie::{
        CLASSES, Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, FLAG_GENERATION, FLAG_INSTANT,
        FLAG_JUMP, FLAG_RETURN_PROBE, condition_holds,
    },
    counters::Counters,
    event::Loss,
    histogram,
    open::OpenCall,
};

use crate::{
    atomic, foreign,
    futures::{self, Polled, Returned},
    maps::{ADMITTED, COSTS, COUNTERS, FUNCTIONS, HISTOGRAMS, NEXT_SLOT, SLOTS, add, lose, raise},
    owner::{self, Owner, Place},
    record::{self, Took},
    stack::Stack,
};

/// Return probes that the kernel nests in a thread (64), less what other tools may need.
const RETURN_PROBES: u32 = 60;

#[inline(always)]
fn cookie_of<C: EbpfContext>(ctx: &C) -> Cookie {
    // SAFETY: a probe's context.
    Cookie::unpack(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) })
}

#[inline(always)]
fn registers<C: EbpfContext>(ctx: &C) -> *const pt_regs {
    ctx.as_ptr().cast_const().cast()
}

/// The function's settings, unless the site belongs to links that are being replaced.
#[inline(always)]
fn function_of(cookie: Cookie) -> Option<&'static FunctionControl> {
    let function = FUNCTIONS.get(cookie.function)?;
    let generation = u32::from(cookie.flags & FLAG_GENERATION != 0);
    (function.generation == generation).then_some(function)
}

/// Counts and remembers the beginning of a call.
#[inline(always)]
pub fn entry<C: EbpfContext>(ctx: &C) {
    let Some((control, thread)) = owner::settings_if_traced() else {
        return;
    };
    let cookie = cookie_of(ctx);
    let Some(function) = function_of(cookie) else {
        return;
    };
    match function.watch {
        WATCH_OFF => return,
        WATCH_COUNTED => {
            count_entered(cookie.function);
            return;
        }
        _ => {}
    }
    let regs = registers(ctx);
    // SAFETY: `regs` is the program's context.
    let (sp, flags) = unsafe { ((*regs).rsp, (*regs).eflags) };
    let Some(owner) = owner::identify(regs, sp, cookie, control, thread, true) else {
        lose(Loss::GoroutineUnreadable);
        return;
    };
    let polled = if cookie.words == 0 {
        Polled::NOTHING
    } else {
        futures::polled(regs, u32::from(cookie.words), function)
    };
    let call = OpenCall {
        position: owner.position,
        start_ns: 0,
        nested_ns: 0,
        probes_ns: 0,
        function: cookie.function,
        window: function.window,
        class: u32::from(cookie.class),
        future_site: polled.site,
        future: polled.address,
    };
    let instant = cookie.flags & FLAG_INSTANT != 0
        && (cookie.flags & FLAG_CONDITIONAL == 0 || condition_holds(cookie.condition, flags));
    let open = match owner::place(&owner, control) {
        Place::Own(open) => open,
        Place::Foreign => {
            foreign::replace(&owner);
            if instant {
                complete(ctx, control, function, cookie, call, sp, &owner, None);
            } else if admit(control) && foreign::enter(&owner, call) {
                count_entered(cookie.function);
                let execution = polled.begun(&owner);
                foreign::start(&owner, futures::start(execution));
            }
            return;
        }
        Place::Full => {
            lose(Loss::OwnersFull);
            return;
        }
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
    if instant {
        let caller = stack.top_mut();
        complete(ctx, control, function, cookie, call, sp, &owner, caller);
        return;
    }
    if cookie.flags & FLAG_RETURN_PROBE != 0 && stack.depth() >= RETURN_PROBES {
        lose(Loss::ReturnDepth);
        return;
    }
    if !admit(control) {
        return;
    }
    if !stack.push(call) {
        lose(Loss::DeepFull);
        return;
    }
    count_entered(cookie.function);
    let execution = polled.begun(&owner);
    // Last, so that the work above is not measured as part of the call.
    stack.start(futures::start(execution));
}

/// Counts a call that begins and ends at one instruction.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "what the two callers have at hand"
)]
fn complete<C: EbpfContext>(
    ctx: &C,
    control: &Control,
    function: &FunctionControl,
    cookie: Cookie,
    mut call: OpenCall,
    sp: u64,
    owner: &Owner,
    caller: Option<*mut OpenCall>,
) {
    if !admit(control) {
        return;
    }
    let Some(counters) = COUNTERS.get_ptr_mut(cookie.function) else {
        return;
    };
    if let Some(caller) = caller
        && let Some(costs) = COSTS.get(0)
    {
        let class = usize::from(cookie.class) & (CLASSES - 1);
        // Costs are those of two probes.
        // SAFETY: `caller` points to a live map value that only its owner's probes touch.
        unsafe { (*caller).probes_ns += u64::from(costs.cost_ns[class][class] / 2) };
    }
    count_entered(cookie.function);
    // SAFETY: takes no arguments.
    call.start_ns = unsafe { bpf_ktime_get_ns() };
    account(counters, &call, 0);
    let took = Took {
        duration_ns: 0,
        end_ns: call.start_ns,
    };
    record::maybe::<_, false>(ctx, control, function, &call, took, sp, owner);
}

/// Counts the beginning of a call.
#[inline(always)]
pub fn count_entered(function: u32) {
    if let Some(counters) = COUNTERS.get_ptr_mut(function) {
        // SAFETY: `counters` points to a live map value.
        add(unsafe { &raw mut (*counters).entered }, 1);
    }
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

/// Matches the end of a call with its beginning and measures it. `popped_bytes` is how far the
/// stack pointer is above where it was at entry.
#[inline(always)]
pub fn exit<C: EbpfContext>(ctx: &C, popped_bytes: u64) {
    // First, so that the work below is not measured as part of the call.
    // SAFETY: takes no arguments.
    let end_ns = unsafe { bpf_ktime_get_ns() };
    let Some((control, thread)) = owner::settings_if_traced() else {
        return;
    };
    let cookie = cookie_of(ctx);
    let regs = registers(ctx);
    // Volatile, or the compiler chooses between the addresses, and the verifier takes the result
    // for no context any more. SAFETY: `regs` is the program's context.
    let (stack_pointer, frame_pointer, flags) = unsafe {
        (
            (&raw const (*regs).rsp).read_volatile(),
            (&raw const (*regs).rbp).read_volatile(),
            (*regs).eflags,
        )
    };
    let base = if cookie.flags & FLAG_FRAME_POINTER == 0 {
        stack_pointer
    } else {
        frame_pointer
    };
    let sp = base + u64::from(cookie.words) * 8 - popped_bytes;
    if cookie.flags & FLAG_CONDITIONAL != 0 && !condition_holds(cookie.condition, flags) {
        return;
    }
    let Some(function) = function_of(cookie) else {
        return;
    };
    let Some(counters) = COUNTERS.get_ptr_mut(cookie.function) else {
        return;
    };
    let Some(mut owner) = owner::identify(regs, sp, cookie, control, thread, false) else {
        lose(Loss::GoroutineUnreadable);
        return;
    };
    let mut caller: Option<*mut OpenCall> = None;
    let own = owner::place_if_known(&owner).and_then(|open| {
        let mut stack = Stack::new(open, owner.key);
        stack.unwind_below(owner.position);
        let top = stack.top()?;
        if top.position != owner.position || top.function != cookie.function {
            return None;
        }
        stack.pop();
        caller = stack.top_mut();
        // SAFETY: `open` points to a live map value.
        Some((top, unsafe { (*open).goid }))
    });
    let own = own.map(|(call, goid)| {
        owner.goid = goid;
        call
    });
    let call = match own {
        Some(call) => Some(call),
        None => foreign::leave(&owner, cookie.function),
    };
    let Some(call) = call else {
        // A jump with the frame still in place goes to a part of the function elsewhere.
        // Beyond `max_calls`, and outside time windows, entries are ignored on purpose.
        if cookie.flags & FLAG_JUMP == 0 && control.max_calls == 0 && function.window == 0 {
            // SAFETY: `counters` points to a live map value.
            add(unsafe { &raw mut (*counters).unmatched }, 1);
        }
        return;
    };
    if call.window != function.window {
        return;
    }
    let Some(costs) = COSTS.get(0) else {
        return;
    };
    let (from, to) = (
        call.class as usize & (CLASSES - 1),
        usize::from(cookie.class) & (CLASSES - 1),
    );
    let (bias_ns, cost_ns) = (
        u64::from(costs.bias_ns[from][to]),
        u64::from(costs.cost_ns[from][to]),
    );
    let duration_ns = end_ns
        .saturating_sub(call.start_ns)
        .saturating_sub(call.probes_ns)
        .saturating_sub(bias_ns);
    if let Some(caller) = caller {
        // SAFETY: `caller` points to a live map value that only its owner's probes touch.
        unsafe {
            (*caller).nested_ns += duration_ns;
            (*caller).probes_ns += call.probes_ns + cost_ns;
        }
    }
    account(counters, &call, duration_ns);
    let took = Took {
        duration_ns,
        end_ns,
    };
    record::maybe::<_, false>(ctx, control, function, &call, took, sp, &owner);
    if call.future_site != 0 {
        let mut returned = Returned {
            call,
            end_ns,
            duration_ns,
            bias_ns,
            cost_ns,
            sp,
            owner,
            control,
        };
        futures::end(ctx.as_ptr(), &mut returned);
    }
}

/// Adds a completed call to its function's counters.
#[inline(always)]
pub fn account(counters: *mut Counters, call: &OpenCall, duration_ns: u64) {
    // SAFETY: `counters` points to a live map value.
    unsafe {
        add(&raw mut (*counters).completed, 1);
        add(&raw mut (*counters).total_ns, duration_ns);
        add(
            &raw mut (*counters).self_ns,
            duration_ns.saturating_sub(call.nested_ns),
        );
        raise(&raw mut (*counters).max_ns, duration_ns);
        raise(&raw mut (*counters).inverted_min_ns, u64::MAX - duration_ns);
    }
    let Some(buckets) = slot_of(call.function).and_then(|slot| HISTOGRAMS.get_ptr_mut(slot)) else {
        lose(Loss::HistogramsFull);
        return;
    };
    let mut bucket = histogram::bucket_of(duration_ns) as u64;
    // The compiler would compare what the bucket follows from, and older verifiers cannot follow:
    // they need to see a bound of the index itself.
    // SAFETY: arithmetic on one register.
    unsafe {
        asm!("{bucket} &= {mask}", bucket = inout(reg) bucket, mask = const histogram::BUCKETS.next_power_of_two() - 1);
    }
    if bucket < histogram::BUCKETS as u64 {
        // SAFETY: the index is inside the array of a live map value.
        unsafe {
            let count = (&raw mut (*buckets).counts)
                .cast::<u32>()
                .add(bucket as usize);
            atomic::add_u32(count, 1);
        }
    }
}

/// The function's histogram; a new one at its first completed call.
#[inline(always)]
fn slot_of(function: u32) -> Option<u32> {
    let slot = SLOTS.get_ptr_mut(function)?;
    // SAFETY: `slot` points to a live, aligned map value.
    let taken = unsafe { slot.read_volatile() };
    if taken != 0 {
        return Some(taken as u32 - 1);
    }
    let next = NEXT_SLOT.get_ptr_mut(0)?;
    // SAFETY: both point to live, aligned map values.
    let (new, found) = unsafe {
        let new = atomic::fetch_add_u64(next, 1) + 1;
        (new, atomic::compare_exchange_u64(slot, 0, new))
    };
    // Another CPU may have been faster; its histogram counts then.
    let taken = if found == 0 { new } else { found };
    Some(taken as u32 - 1)
}
