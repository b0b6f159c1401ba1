//! The scheduler's events for kernels that may have no type information: their own descriptions tell
//! where what lies.

use aya_ebpf::{EbpfContext as _, programs::TracePointContext};
use monigo_common::config::Control;

use crate::maps::AWAY_SLOTS;

/// What a program on an event is given.
pub type Context = TracePointContext;

/// Usual offset of `next_pid` in `sched_switch`, and of `pid` in `sched_waking`.
const NEXT_PID: usize = 56;
const WOKEN_PID: usize = 24;
/// Bits of `prev_state` that mean a wait; a thread that others took the CPU from has a higher one.
/// Source: Linux `include/linux/sched.h`, `TASK_REPORT`.
const WAITING: u64 = 0xff;

/// A thread, by its id.
#[derive(Clone, Copy)]
pub struct Thread(u32);

impl Thread {
    /// The one that leaves its CPU, which is the current one.
    #[inline(always)]
    pub fn leaving(_ctx: &Context, tid: u32) -> Self {
        Self(tid)
    }

    /// The one that is to run next.
    #[inline(always)]
    pub fn next(ctx: &Context, control: &Control) -> Option<Self> {
        field::<NEXT_PID>(ctx, control.switch_next_offset).map(Self)
    }

    /// The one that can run again.
    #[inline(always)]
    pub fn woken(ctx: &Context, control: &Control) -> Option<Self> {
        field::<WOKEN_PID>(ctx, control.waking_pid_offset).map(Self)
    }

    /// Where it is counted in `AWAY`.
    #[inline(always)]
    pub fn slot(self) -> u32 {
        self.0 & (AWAY_SLOTS - 1)
    }

    /// Its id.
    #[inline(always)]
    pub fn tid(self, _control: &Control) -> Option<u32> {
        Some(self.0)
    }
}

/// Whether the thread that leaves its CPU could run on.
#[inline(always)]
pub fn preempted(ctx: &Context, control: &Control) -> bool {
    // SAFETY: the helper checks the address.
    let state = unsafe { ctx.read_at::<u64>(control.switch_state_offset as usize) };
    // A number in any case, see `raw`.
    state.unwrap_or(WAITING) & WAITING == 0
}

/// A field of 4 bytes of the event, at an offset from the kernel's own description. Where it usually
/// is, it is read without a helper.
#[inline(always)]
fn field<const USUAL: usize>(ctx: &Context, offset: u32) -> Option<u32> {
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
