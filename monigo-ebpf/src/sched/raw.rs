//! The scheduler's events as raw tracepoints, which hand over the threads themselves.
//!
//! Programs on them run whatever other programs are doing on the CPU; those on the events proper
//! (`fields`) are left out while another one runs, and cost the assembly of the event on top.

use aya_ebpf::{
    EbpfContext as _, bindings::bpf_raw_tracepoint_args, helpers::bpf_probe_read_kernel,
    programs::RawTracePointContext,
};
use monigo_common::config::Control;

use crate::maps::AWAY_SLOTS;

/// What a program on an event is given.
pub type Context = RawTracePointContext;

/// `TASK_WAKING`: someone is just ending the wait. Source: Linux `include/linux/sched.h`.
const WAKING: u64 = 0x200;
/// Bits of a state that mean a wait.
const WAITING: u64 = 0xff | WAKING;

/// A thread, by the address of its `task_struct`.
#[derive(Clone, Copy)]
pub struct Thread(u64);

impl Thread {
    /// The one that leaves its CPU, which is the current one.
    #[inline(always)]
    pub fn leaving(ctx: &Context, _tid: u32) -> Self {
        Self(argument::<1>(ctx))
    }

    /// The one that is to run next.
    #[inline(always)]
    pub fn next(ctx: &Context, _control: &Control) -> Option<Self> {
        Some(Self(argument::<2>(ctx)))
    }

    /// The one that can run again.
    #[inline(always)]
    pub fn woken(ctx: &Context, _control: &Control) -> Option<Self> {
        Some(Self(argument::<0>(ctx)))
    }

    /// Where it is counted in `AWAY`: descriptions of threads lie some kilobytes apart.
    #[inline(always)]
    pub fn slot(self) -> u32 {
        ((self.0 >> 6) ^ (self.0 >> 18)) as u32 & (AWAY_SLOTS - 1)
    }

    /// Its id.
    #[inline(always)]
    pub fn tid(self, control: &Control) -> Option<u32> {
        word(self.0, control.task_pid_offset)
    }
}

/// Whether the thread that leaves its CPU could run on.
#[inline(always)]
pub fn preempted(ctx: &Context, control: &Control) -> bool {
    if argument::<0>(ctx) & 1 != 0 {
        return true;
    }
    // A number in any case: of a state that is none, the compiler may go on to look at the bits, in a
    // register that the verifier knows nothing in.
    let state = if control.switch_state_offset == 0 {
        u64::from(argument::<3>(ctx) as u32)
    } else {
        // Before Linux 5.18 the event does not say.
        word(argument::<1>(ctx), control.switch_state_offset).map_or(WAITING, u64::from)
    };
    state & WAITING == 0
}

/// An argument of the event.
#[inline(always)]
fn argument<const N: usize>(ctx: &Context) -> u64 {
    let arguments: *const bpf_raw_tracepoint_args = ctx.as_ptr().cast();
    // SAFETY: the events have these arguments. Volatile, so that each is read where it is.
    unsafe { arguments.cast::<u64>().add(N).read_volatile() }
}

#[inline(always)]
fn word(base: u64, offset: u32) -> Option<u32> {
    // SAFETY: reading kernel memory by a helper that checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const u32) }.ok()
}
