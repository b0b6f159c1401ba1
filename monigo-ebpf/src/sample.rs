//! What runs inside a traced function: a look at each CPU in regular intervals.

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_USER_STACK, bpf_perf_event_data},
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_ns, bpf_probe_read_user, generated::bpf_get_stack,
    },
    programs::PerfEventContext,
};
use monigo_common::{
    config::Control,
    copy::STACK_COPIED,
    event::{KIND_SAMPLE_CPU, Loss, MAX_FRAMES, MAX_KERNEL_FRAMES, SampleRecord},
    open::OwnerKey,
};

use crate::{
    copy::{self, Registers},
    maps::{CONTROL, OPEN, RECORDS, lose},
    owner::{self, G_STACK_HI},
    record::SUBMIT_FLAGS,
    stack::Stack,
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
    /// Where the call returns to; 0 when it could not be read.
    pub return_address: u64,
    /// Address of that on the stack.
    pub position: u64,
    /// End of the owner's own stack; `u64::MAX` when it is not known.
    pub stack_high: u64,
}

/// The innermost open call of thread `tid`.
#[inline(always)]
pub fn inside_thread(pid: u32, tid: u32) -> Option<Inside> {
    inside(pid, u64::from(tid), 0)
}

/// The innermost open call of the goroutine at `g`.
#[inline(always)]
fn inside_goroutine(control: &Control, pid: u32, g: u64) -> Option<Inside> {
    // SAFETY: reading user memory by a helper that checks the address.
    let hi = unsafe { bpf_probe_read_user((g + G_STACK_HI) as *const u64) }.ok()?;
    let inside = inside(pid, g, hi)?;
    if control.goid_offset != 0 {
        // SAFETY: as above.
        let goid =
            unsafe { bpf_probe_read_user((g + u64::from(control.goid_offset)) as *const u64) };
        // What is open belongs to a goroutine that ended without returning.
        if goid != Ok(inside.goid) {
            return None;
        }
    }
    Some(inside)
}

/// `base` is what positions of the owner's calls are relative to.
#[inline(always)]
fn inside(pid: u32, owner: u64, base: u64) -> Option<Inside> {
    let key = OwnerKey { pid, pad: 0, owner };
    let open = OPEN.get_ptr_mut(key)?;
    let top = Stack::new(open, key).top()?;
    let at = base.wrapping_add(top.position);
    // SAFETY: `open` points to a live map value; user memory is read by a helper that checks the
    // address.
    let (goid, read, stack_high) = unsafe {
        let read = bpf_probe_read_user(at as *const u64).unwrap_or(0);
        ((*open).goid, read, (*open).stack_high)
    };
    let return_address = copy::unhidden(at).unwrap_or(read);
    Some(Inside {
        function: top.function,
        goid,
        start_ns: top.start_ns,
        return_address,
        position: at,
        stack_high,
    })
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
    in_kernel: bool,
    copied: bool,
) {
    let id = bpf_get_current_pid_tgid();
    // SAFETY: promised by the caller.
    unsafe {
        (*out).kind = kind;
        (*out).function = inside.function;
        (*out).pid = (id >> 32) as u32;
        (*out).tid = id as u32;
        (*out).goid = inside.goid;
        (*out).at_ns = bpf_ktime_get_ns();
        (*out).call_start_ns = inside.start_ns;
        (*out).return_address = inside.return_address;
        if copied {
            (*out).user_bytes = STACK_COPIED;
        } else {
            let bytes = bpf_get_stack(
                ctx.as_ptr(),
                (&raw mut (*out).user).cast(),
                (MAX_FRAMES * 8) as u32,
                u64::from(BPF_F_USER_STACK),
            );
            (*out).user_bytes = bytes;
            if bytes < 0 {
                lose(Loss::StackFailed);
            }
        }
        (*out).kernel_bytes = 0;
        if in_kernel {
            (*out).kernel_bytes = bpf_get_stack(
                ctx.as_ptr(),
                (&raw mut (*out).kernel).cast(),
                (MAX_KERNEL_FRAMES * 8) as u32,
                0,
            );
        }
    }
}

/// Sends what the current thread does, if it is inside a traced function.
#[inline(always)]
pub fn on_cpu(ctx: &PerfEventContext) {
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    if pid == 0 || !owner::is_traced(control, pid) {
        return;
    }
    let event: *const bpf_perf_event_data = ctx.ctx;
    // SAFETY: `event` is the program's context.
    let (segment, r14, period_ns) =
        unsafe { ((*event).regs.cs, (*event).regs.r14, (*event).sample_period) };
    let user = segment & USER_MODE == USER_MODE;
    let inside = if control.goroutines == 0 {
        inside_thread(pid, tid)
    } else if user {
        // Go's register ABI keeps the current g in r14.
        inside_goroutine(control, pid, r14)
    } else {
        None
    };
    let Some(inside) = inside else {
        return;
    };
    let copied = if user {
        // SAFETY: `event` is the program's context.
        let registers = unsafe { Registers::of(&raw const (*event).regs) };
        copy::of_sample(control, &inside, registers, pid, tid, false)
    } else {
        Registers::of_task()
            .is_some_and(|registers| copy::of_sample(control, &inside, registers, pid, tid, true))
    };
    let Some(mut entry) = RECORDS.reserve::<SampleRecord>(0) else {
        lose(Loss::RingFull);
        return;
    };
    let out = entry.as_mut_ptr();
    // SAFETY: `out` is a reserved record of this type; `ctx` is the program's context.
    unsafe {
        (*out).weight_ns = period_ns;
        fill(ctx, out, KIND_SAMPLE_CPU, &inside, !user, copied);
    }
    entry.submit(SUBMIT_FLAGS);
}
