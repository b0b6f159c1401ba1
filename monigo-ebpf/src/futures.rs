//! Executions of async functions: from the first poll of a future to the poll that completes it.
//!
//! The future says itself in which state it is. Threads do not matter: the address of a future stays
//! the same once it has been polled.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_user},
};
use monigo_common::{
    config::{
        Control, FunctionControl, FutureSite, STATE_PANICKED, STATE_RETURNED, STATE_UNRESUMED,
    },
    event::Loss,
    open::{FutureKey, FutureState, OpenCall},
};

use crate::{
    call,
    maps::{COUNTERS, FUNCTIONS, FUTURE_SITES, FUTURES, add, lose},
    owner::Owner,
    record,
};

/// A poll that begins.
#[derive(Clone, Copy)]
pub struct Polled {
    /// Index of the site, or 0 for a future that is not followed.
    pub site: u32,
    /// Address of the future.
    pub address: u64,
    /// It is the first poll.
    pub first: bool,
}

impl Polled {
    /// A call that polls nothing.
    pub const NOTHING: Self = Self {
        site: 0,
        address: 0,
        first: false,
    };

    /// Counts the beginning of an execution, if this is its first poll.
    #[inline(always)]
    pub fn begun(&self, owner: &Owner) -> Option<*mut FutureState> {
        if self.first {
            begin(owner.key.pid, self)
        } else {
            None
        }
    }
}

/// What is polled by the call that begins at a site.
#[inline(always)]
pub fn polled(regs: *const pt_regs, site: u32, function: &FunctionControl) -> Polled {
    // Where timing pauses, most ends are not seen, and an address may have been reused meanwhile.
    if function.window != 0 {
        return Polled::NOTHING;
    }
    let Some(place) = FUTURE_SITES.get(site) else {
        return Polled::NOTHING;
    };
    // Volatile, or the compiler chooses between the addresses, and the verifier takes the result
    // for no context any more. SAFETY: `regs` is the program's context.
    let (first, second) = unsafe {
        (
            (&raw const (*regs).rdi).read_volatile(),
            (&raw const (*regs).rsi).read_volatile(),
        )
    };
    let address = if place.argument == 0 { first } else { second };
    let Some(state) = state_of(place, address) else {
        lose(Loss::FuturesFull);
        return Polled::NOTHING;
    };
    // Polling what has ended is a mistake of the program, and panics.
    if state == STATE_RETURNED || state == STATE_PANICKED || state >= place.states {
        return Polled::NOTHING;
    }
    Polled {
        site,
        address,
        first: state == STATE_UNRESUMED,
    }
}

#[inline(always)]
fn state_of(place: &FutureSite, address: u64) -> Option<u32> {
    let at = address.wrapping_add(u64::from(place.state_offset));
    // SAFETY: reading user memory by a helper that checks the address.
    unsafe {
        match place.state_bytes {
            1 => bpf_probe_read_user(at as *const u8).map(u32::from).ok(),
            2 => bpf_probe_read_user(at as *const u16).map(u32::from).ok(),
            _ => bpf_probe_read_user(at as *const u32).ok(),
        }
    }
}

#[inline(always)]
fn key(pid: u32, site: u32, address: u64) -> FutureKey {
    FutureKey { pid, site, address }
}

/// An execution begins; when, is for the caller to write.
#[inline(always)]
fn begin(pid: u32, polled: &Polled) -> Option<*mut FutureState> {
    let key = key(pid, polled.site, polled.address);
    let executions = FUTURE_SITES.get(polled.site)?.executions;
    if FUTURES.get_ptr(key).is_some() {
        // The one before at this address was dropped without completing.
        count_unwound(executions);
    }
    let state = FutureState {
        start_ns: 0,
        polled_ns: 0,
        self_ns: 0,
        probes_ns: 0,
    };
    if FUTURES.insert(key, state, 0).is_err() {
        lose(Loss::FuturesFull);
        return None;
    }
    call::count_entered(executions);
    FUTURES.get_ptr_mut(key)
}

/// Writes when the poll and, if it is the first one, the execution begin.
#[inline(always)]
pub fn start(execution: Option<*mut FutureState>) -> u64 {
    // SAFETY: takes no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(execution) = execution {
        // SAFETY: `execution` points to a live map value.
        unsafe { (*execution).start_ns = now };
    }
    now
}

#[inline(always)]
fn count_unwound(executions: u32) {
    if let Some(counters) = COUNTERS.get_ptr_mut(executions) {
        // SAFETY: `counters` points to a live map value.
        add(unsafe { &raw mut (*counters).unwound }, 1);
    }
}

/// A poll has ended otherwise than by returning, and with it the execution.
#[inline(always)]
pub fn abandon(call: &OpenCall, pid: u32) {
    if call.future_site == 0 {
        return;
    }
    let key = key(pid, call.future_site, call.future);
    if FUTURES.get_ptr(key).is_none() {
        return;
    }
    let _ = FUTURES.remove(key);
    let watched = FUNCTIONS
        .get(call.function)
        .is_some_and(|function| function.window == 0);
    if watched && let Some(place) = FUTURE_SITES.get(call.future_site) {
        count_unwound(place.executions);
    }
}

/// A poll that has returned.
pub struct Returned {
    /// The poll.
    pub call: OpenCall,
    /// When it returned.
    pub end_ns: u64,
    /// How long it took, without what the probes add.
    pub duration_ns: u64,
    /// What the probes of the call added to its duration.
    pub bias_ns: u64,
    /// What they cost altogether.
    pub cost_ns: u64,
    /// The stack pointer at entry.
    pub sp: u64,
    /// Who polled.
    pub owner: Owner,
    /// The settings.
    pub control: &'static Control,
}

/// Counts the execution as completed if this poll was the last one. A function of its own, since
/// the stack of [`call::exit`] is nearly used up.
#[inline(never)]
pub extern "C" fn end(ctx: *mut c_void, returned: &mut Returned) -> u64 {
    let poll = &returned.call;
    let Some(place) = FUTURE_SITES.get(poll.future_site) else {
        return 0;
    };
    let key = key(returned.owner.key.pid, poll.future_site, poll.future);
    let state = state_of(place, poll.future);
    let Some(execution) = FUTURES.get_ptr_mut(key) else {
        return 0;
    };
    let probes_ns = poll.probes_ns;
    // SAFETY: `execution` points to a live map value; a future is polled by one thread at a time.
    let sum = unsafe {
        (*execution).polled_ns += returned.duration_ns;
        (*execution).self_ns += returned.duration_ns.saturating_sub(poll.nested_ns);
        (*execution).probes_ns += probes_ns + returned.cost_ns;
        *execution
    };
    match state {
        Some(STATE_RETURNED) => {}
        Some(STATE_UNRESUMED | STATE_PANICKED) | None => {
            let _ = FUTURES.remove(key);
            lose(Loss::FuturesFull);
            return 0;
        }
        Some(_) => return 0,
    }
    let _ = FUTURES.remove(key);
    let probes_ns = sum
        .probes_ns
        .saturating_sub(returned.cost_ns)
        .saturating_add(returned.bias_ns);
    // What probes took while nobody waited for a poll did not make the execution longer; at least
    // the polls were part of it.
    let wall_ns = returned
        .end_ns
        .saturating_sub(sum.start_ns)
        .saturating_sub(probes_ns)
        .max(sum.polled_ns);
    let (Some(counters), Some(settings)) = (
        COUNTERS.get_ptr_mut(place.executions),
        FUNCTIONS.get(place.executions),
    ) else {
        return 0;
    };
    returned.call.function = place.executions;
    returned.call.start_ns = sum.start_ns;
    // Waiting is no time of its own.
    returned.call.nested_ns = wall_ns.saturating_sub(sum.self_ns);
    call::account(counters, &returned.call, wall_ns);
    record::maybe::<_, true>(
        &Context(ctx),
        returned.control,
        settings,
        &returned.call,
        record::Took {
            duration_ns: wall_ns,
            end_ns: returned.end_ns,
        },
        returned.sp,
        &returned.owner,
    );
    0
}

/// The program's context, passed on.
struct Context(*mut c_void);

impl EbpfContext for Context {
    fn as_ptr(&self) -> *mut c_void {
        self.0
    }
}
