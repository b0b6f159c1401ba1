//! What runs inside a traced function: a look at each CPU in regular intervals.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_USER_STACK, bpf_perf_event_data},
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_get_stack},
    programs::PerfEventContext,
};
use monigo_common::{
    config::Control,
    copy::STACK_COPIED,
    event::{
        CALLER_WORDS, Caller, KIND_SAMPLE_CPU, Loss, MAX_CALLERS, MAX_FRAMES, MAX_KERNEL_FRAMES,
        NO_FUNCTION, SampleHead, SampleRecord,
    },
    open::{OpenCalls, OwnerKey},
};

use crate::{
    copy::{self, Registers, at_most},
    maps::{CONTROL, LOOK, OPEN, lose, maybe_open},
    owner::{self, G_STACK_HI, user_word},
    record,
    stack::{Rounds, Stack, is_watched, repeat},
};

/// Lowest two bits of the code segment in user mode.
const USER_MODE: u64 = 3;

/// The innermost open call of a thread or goroutine.
pub struct Inside {
    /// Function index.
    pub function: u32,
    /// Goroutine id, or 0.
    pub goid: u64,
    /// `bpf_ktime_get_ns` at its entry.
    pub start_ns: u64,
    /// Address on the stack of where the call returns to.
    pub position: u64,
    /// The same as the owner's calls have it.
    call_position: u64,
    /// End of the owner's own stack; `u64::MAX` when it is not known.
    pub stack_high: u64,
    /// Whose call.
    key: OwnerKey,
    /// All that are open.
    pub open: *mut OpenCalls,
    /// How many of those have not been left.
    depth: u32,
}

impl Inside {
    /// Where the call returns to; 0 when it cannot be read.
    #[inline(always)]
    pub fn return_address(&self) -> u64 {
        copy::unhidden(self.position)
            .or(user_word(self.position))
            .unwrap_or(0)
    }

    /// The same, which stays as it is while the call is open: `last`, what this CPU has found before, may be of the same
    /// call. Reading user memory is a tenth of what a rare look takes.
    ///
    /// # Safety
    /// `last` must point to a live record, filled in or zero.
    #[inline(always)]
    pub unsafe fn return_address_after(&self, last: *const SampleRecord) -> u64 {
        // SAFETY: promised by the caller.
        let last = unsafe { &(*last).head };
        // A call that a look interrupts at its entry has not begun yet.
        if self.start_ns != 0
            && last.call_start_ns == self.start_ns
            && last.owner == self.key.owner
            && last.pid == self.key.pid
            && last.function == self.function
            && last.return_address != 0
        {
            last.return_address
        } else {
            self.return_address()
        }
    }
}

/// The innermost open call of the current thread, or of the goroutine on whose behalf it runs. `sp` is
/// the stack pointer in user mode.
#[inline(always)]
pub fn inside_current(
    control: &Control,
    pid: u32,
    tid: u32,
    r14: Option<u64>,
    sp: u64,
) -> Option<Inside> {
    if control.goroutines == 0 {
        return inside(pid, u64::from(tid), 0, sp);
    }
    // The thread's own note is right in the kernel and in C code, too.
    let g = owner::current_g(control).or(r14)?;
    if let Some(inside) = inside_goroutine(control, pid, g, sp) {
        return Some(inside);
    }
    let user = owner::user_g(control, g).filter(|&user| user != g)?;
    // The thread is on another stack.
    inside_goroutine(control, pid, user, 0)
}

/// The innermost open call of the goroutine at `g`, which is at `sp` on its stack; 0 when that is
/// not known.
#[inline(always)]
pub fn inside_goroutine(control: &Control, pid: u32, g: u64, sp: u64) -> Option<Inside> {
    let hi = user_word(g + G_STACK_HI)?;
    let inside = inside(pid, g, hi, sp)?;
    if control.goid_offset != 0 {
        let goid = user_word(g + u64::from(control.goid_offset));
        // What is open belongs to a goroutine that ended without returning.
        if goid != Some(inside.goid) {
            return None;
        }
    }
    Some(inside)
}

/// `base` is what positions of the owner's calls are relative to.
#[inline(always)]
fn inside(pid: u32, owner: u64, base: u64, sp: u64) -> Option<Inside> {
    let key = OwnerKey { pid, pad: 0, owner };
    let open = OPEN.get_ptr_mut(key)?;
    let stack = Stack::new(open, key);
    // SAFETY: `open` points to a live map value.
    let stack_high = unsafe { (*open).stack_high };
    let end = if base == 0 { stack_high } else { base };
    // An exception, a panic or a `longjmp` leaves calls without passing an exit site, and then the
    // stack pointer is above their return addresses. The next probe that fires closes them; this
    // program may have interrupted one.
    let depth = if sp < end && end != u64::MAX {
        stack.depth_above(sp.wrapping_sub(base))
    } else {
        stack.depth()
    };
    let depth = stack.watched(depth);
    // SAFETY: a slot points to a live map value.
    let top = unsafe { *stack.slot(depth.checked_sub(1)?)? };
    Some(Inside {
        function: top.function,
        // SAFETY: `open` points to a live map value.
        goid: unsafe { (*open).goid },
        start_ns: top.start_ns,
        position: base.wrapping_add(top.position),
        call_position: top.position,
        stack_high,
        key,
        open,
        depth,
    })
}

/// Notes the traced calls around the innermost one, and returns how many these are.
///
/// # Safety
/// `out` must point to a live record.
#[inline(always)]
unsafe fn fill_callers(out: *mut SampleRecord, inside: &Inside) -> u64 {
    if inside.depth <= 1 {
        return 0;
    }
    let mut callers = Callers {
        out,
        open: inside.open,
        key: inside.key,
        depth: inside.depth,
        count: 0,
        position: inside.call_position,
    };
    repeat(&mut callers);
    at_most::<MAX_CALLERS>(u64::from(callers.count))
}

/// Notes one caller a round.
struct Callers {
    out: *mut SampleRecord,
    open: *mut OpenCalls,
    key: OwnerKey,
    depth: u32,
    count: u32,
    position: u64,
}

impl Rounds for Callers {
    #[inline(always)]
    fn round(&mut self) -> bool {
        let count = self.count;
        let Some(index) = self.depth.checked_sub(count + 2) else {
            return true;
        };
        if count >= MAX_CALLERS as u32 {
            return true;
        }
        let stack = Stack::new(self.open, self.key);
        let Some(call) = stack.slot(index) else {
            return true;
        };
        let mut place = u64::from(count);
        // The verifier needs to see the bound.
        // SAFETY: arithmetic on one register.
        unsafe {
            asm!("{place} &= {mask}", place = inout(reg) place, mask = const MAX_CALLERS.next_power_of_two() - 1);
        }
        // SAFETY: `out` points to a live record, which callers come first in, and `call` to a live map value.
        unsafe {
            (&raw mut (*self.out).words)
                .cast::<Caller>()
                .add(place as usize)
                .write(Caller {
                    function: if is_watched(call) {
                        (*call).function
                    } else {
                        NO_FUNCTION
                    },
                    above: (*call).position.wrapping_sub(self.position) as u32,
                    start_ns: (*call).start_ns,
                });
        }
        self.count = count + 1;
        false
    }
}

/// Most user stacks are no deeper. The kernel clears what a stack does not fill of the room for it, and what is not
/// touched need not come into the caches, which takes longer than the walk. Deeper ones are walked again.
const USUAL_FRAMES: usize = 40;
/// The same of kernel stacks.
const USUAL_KERNEL_FRAMES: usize = 24;

/// Walks a stack of the current thread, of which there is room for `MOST` addresses at `out`. Returns the bytes that
/// they take, or a negative errno.
///
/// # Safety
/// `ctx` must be the program's context, and `out` point to as much room.
#[inline(always)]
unsafe fn walk<C: EbpfContext, const USUAL: usize, const MOST: usize>(
    ctx: &C,
    out: *mut u64,
    flags: u64,
) -> i64 {
    let usual = (USUAL * 8) as u32;
    // SAFETY: promised by the caller.
    unsafe {
        let bytes = bpf_get_stack(ctx.as_ptr(), out.cast(), usual, flags);
        if bytes == i64::from(usual) {
            bpf_get_stack(ctx.as_ptr(), out.cast(), (MOST * 8) as u32, flags)
        } else {
            bytes
        }
    }
}

/// How many bytes of addresses a walk has put into a record, at most `BYTES`: none if it failed, or if there was none.
#[inline(always)]
fn walked<const BYTES: usize>(bytes: i64) -> u64 {
    if bytes < 0 {
        return 0;
    }
    at_most::<BYTES>(bytes as u64)
}

/// Fills in a sample of the current thread, except for what it stands for. A stack walk that
/// fails is counted; with `copied` there is none, since a copy of the stack goes with the sample.
///
/// # Safety
/// `out` must point to a live record; `ctx` must be the program's context.
#[inline(always)]
pub unsafe fn fill<C: EbpfContext>(
    ctx: &C,
    out: *mut SampleRecord,
    kind: u32,
    inside: &Inside,
    return_address: u64,
    in_kernel: bool,
    copied: bool,
) {
    let id = bpf_get_current_pid_tgid();
    // SAFETY: promised by the caller; what is written lies inside the record, where the parts before it end.
    unsafe {
        let callers = fill_callers(out, inside);
        let head = &raw mut (*out).head;
        (*head).kind = kind;
        (*head).function = inside.function;
        (*head).pid = (id >> 32) as u32;
        (*head).tid = id as u32;
        (*head).goid = inside.goid;
        (*head).at_ns = bpf_ktime_get_ns();
        (*head).call_start_ns = inside.start_ns;
        (*head).return_address = return_address;
        (*head).away_ns = 0;
        (*head).woken_ns = 0;
        (*head).owner = inside.key.owner;
        (*head).park_return = 0;
        (*head).reason = 0;
        (*head).preempted = 0;
        (*head).caller_count = callers as u32;
        (*head).pad = 0;
        let words = (&raw mut (*out).words).cast::<u64>();
        let user = words.add(callers as usize * CALLER_WORDS);
        let mut bytes = STACK_COPIED;
        if !copied {
            let flags = u64::from(BPF_F_USER_STACK);
            bytes = walk::<C, USUAL_FRAMES, MAX_FRAMES>(ctx, user, flags);
            if bytes < 0 {
                lose(Loss::StackFailed);
            }
        }
        (*head).user_bytes = bytes;
        (*head).kernel_bytes = 0;
        if in_kernel {
            let kernel = user.byte_add(walked::<{ MAX_FRAMES * 8 }>(bytes) as usize);
            (*head).kernel_bytes =
                walk::<C, USUAL_KERNEL_FRAMES, MAX_KERNEL_FRAMES>(ctx, kernel, 0);
        }
    }
}

/// Sends a sample.
///
/// # Safety
/// `sample` must point to a live map value.
#[inline(always)]
pub unsafe fn send(sample: *mut SampleRecord) {
    // SAFETY: promised by the caller; a record is no longer than the sum of what there is room for.
    unsafe {
        let head = &raw const (*sample).head;
        let callers = at_most::<MAX_CALLERS>(u64::from((*head).caller_count));
        let user = walked::<{ MAX_FRAMES * 8 }>((*head).user_bytes);
        let kernel = walked::<{ MAX_KERNEL_FRAMES * 8 }>((*head).kernel_bytes);
        let callers = callers * size_of::<Caller>() as u64;
        record::send(
            sample,
            size_of::<SampleHead>() as u64 + callers + user + kernel,
        );
    }
}

/// Sends what the current thread does, if it is inside a traced function.
#[inline(always)]
pub fn on_cpu(ctx: &PerfEventContext) {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    if pid == 0 || !maybe_open(pid) {
        return;
    }
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    if !owner::is_traced(control, pid) {
        return;
    }
    let event: *const bpf_perf_event_data = ctx.ctx;
    // SAFETY: `event` is the program's context.
    let (segment, r14, period_ns) =
        unsafe { ((*event).regs.cs, (*event).regs.r14, (*event).sample_period) };
    let user = segment & USER_MODE == USER_MODE;
    let registers = if user {
        // SAFETY: `event` is the program's context.
        unsafe { Registers::of(&raw const (*event).regs) }
    } else {
        Registers::of_task_by_helper()
    };
    // Go's register ABI keeps the current g in r14.
    let r14 = user.then_some(r14);
    let Some(inside) = inside_current(control, pid, tid, r14, registers.sp) else {
        return;
    };
    let copied = copy::of_sample(control, &inside, registers, pid, tid, !user);
    let Some(out) = LOOK.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: `out` points to a live map value that only this CPU's interrupts touch; `ctx` is the program's context.
    unsafe {
        (*out).head.weight_ns = period_ns;
        let returns_to = inside.return_address_after(out);
        fill(
            ctx,
            out,
            KIND_SAMPLE_CPU,
            &inside,
            returns_to,
            !user,
            copied,
        );
        send(out);
    }
}
