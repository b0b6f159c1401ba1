//! Copies of registers and of the top of the user stack, for code that keeps no frame pointers. The
//! user side unwinds them.

use core::{arch::asm, mem::offset_of};

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE, pt_regs},
    helpers::{
        bpf_get_current_task_btf, bpf_probe_read_kernel,
        generated::{bpf_probe_read_user, bpf_task_pt_regs},
    },
};
use monigo_common::{
    config::Control,
    copy::{
        COPY_IN_KERNEL, COPY_RETURNED, CopyControl, Hidden, KIND_STACK_COPY, MAX_COPY_BYTES,
        MAX_HIDDEN, StackCopy, StackCopyHead,
    },
    event::Loss,
};

use crate::{
    maps::{COPY, KEPT, NOTHING_KEPT, OPEN, RECORDS, lose},
    owner::Owner,
    record,
    sample::Inside,
};

/// Tries at reading a stack, each half as long as the one before.
const TRIES: u32 = 4;

/// User registers.
#[derive(Clone, Copy)]
pub struct Registers {
    ip: u64,
    /// Stack pointer.
    pub sp: u64,
    fp: u64,
}

impl Registers {
    /// Those of a context.
    ///
    /// # Safety
    /// `regs` must point to registers in the program's context.
    #[inline(always)]
    pub unsafe fn of(regs: *const pt_regs) -> Self {
        // Volatile, or the compiler reads through addresses that the verifier does not accept.
        // SAFETY: promised by the caller.
        unsafe {
            Self {
                ip: (&raw const (*regs).rip).read_volatile(),
                sp: (&raw const (*regs).rsp).read_volatile(),
                fp: (&raw const (*regs).rbp).read_volatile(),
            }
        }
    }

    /// Those with which the current thread entered the kernel.
    #[inline(always)]
    pub fn of_task() -> Self {
        // SAFETY: the current task is a live one, and the kernel lets programs read its registers.
        unsafe { Self::of(bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs) }
    }

    /// The same where the compiler would read these and those of a context by one instruction, which
    /// the verifier does not allow.
    #[inline(always)]
    pub fn of_task_by_helper() -> Self {
        // SAFETY: the current task is a live one.
        let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64;
        let read = |offset: usize| word(regs + offset as u64).unwrap_or(0);
        Self {
            ip: read(offset_of!(pt_regs, rip)),
            sp: read(offset_of!(pt_regs, rsp)),
            fp: read(offset_of!(pt_regs, rbp)),
        }
    }
}

/// A moment to copy the stack of.
struct Moment {
    registers: Registers,
    pid: u32,
    tid: u32,
    flags: u32,
    position: u64,
    top: u64,
}

#[inline(always)]
fn word(at: u64) -> Option<u64> {
    // SAFETY: reading kernel memory by a helper that checks the address.
    unsafe { bpf_probe_read_kernel(at as *const u64) }.ok()
}

#[inline(always)]
fn wanted() -> Option<&'static CopyControl> {
    COPY.get(0).filter(|copy| copy.bytes != 0)
}

/// What is to be sent of stacks, if copies are wanted and there is much room for them: beyond, the
/// records themselves come first.
#[inline(always)]
fn wanted_and_room() -> Option<&'static CopyControl> {
    let copy = wanted()?;
    let waiting = RECORDS.query(u64::from(BPF_RB_AVAIL_DATA));
    let size = RECORDS.query(u64::from(BPF_RB_RING_SIZE));
    (waiting <= size / 2).then_some(copy)
}

/// Where the stack that `sp` is on ends, if it is the thread's own: `high` is the end of that.
#[inline(always)]
fn top(control: &Control, pid: u32, tid: u32, sp: u64, high: u64) -> u64 {
    let mut top = high;
    if pid == tid && control.start_stack_offset != 0 {
        // Arguments and environment lie above.
        // SAFETY: takes no arguments.
        let task = unsafe { bpf_get_current_task_btf() } as u64;
        let start = word(task + u64::from(control.mm_offset))
            .and_then(|mm| word(mm + u64::from(control.start_stack_offset)));
        top = start.unwrap_or(high);
    }
    if sp < top { top } else { u64::MAX }
}

/// Sends a copy for a call that ends; false if none is wanted, or there was no room.
#[inline(always)]
pub fn of_call<C: EbpfContext>(ctx: &C, control: &Control, owner: &Owner, position: u64) -> bool {
    let Some(copy) = wanted_and_room() else {
        return false;
    };
    // SAFETY: a probe's context is registers.
    let registers = unsafe { Registers::of(ctx.as_ptr().cast_const().cast()) };
    // SAFETY: `open` points to a live map value.
    let high = OPEN
        .get_ptr(owner.key)
        .map_or(u64::MAX, |open| unsafe { (*open).stack_high });
    let moment = Moment {
        registers,
        pid: owner.key.pid,
        tid: owner.tid,
        // A return probe fires when the return address is popped.
        flags: if registers.sp > position {
            COPY_RETURNED
        } else {
            0
        },
        position,
        top: top(control, owner.key.pid, owner.tid, registers.sp, high),
    };
    send(copy, &moment)
}

/// Sends a copy for a sample of the current thread; false if none is wanted, or there was no room.
#[inline(always)]
pub fn of_sample(
    control: &Control,
    inside: &Inside,
    registers: Registers,
    pid: u32,
    tid: u32,
    in_kernel: bool,
) -> bool {
    let Some(copy) = wanted_and_room() else {
        return false;
    };
    send(
        copy,
        &sampled(control, inside, registers, pid, tid, in_kernel),
    )
}

#[inline(always)]
fn sampled(
    control: &Control,
    inside: &Inside,
    registers: Registers,
    pid: u32,
    tid: u32,
    in_kernel: bool,
) -> Moment {
    Moment {
        registers,
        pid,
        tid,
        flags: if in_kernel { COPY_IN_KERNEL } else { 0 },
        position: inside.position,
        top: top(control, pid, tid, registers.sp, inside.stack_high),
    }
}

/// Keeps a copy of the current thread's stack until it runs again; false if none is wanted, or
/// there was no room.
#[inline(always)]
pub fn keep(control: &Control, inside: &Inside, registers: Registers, pid: u32, tid: u32) -> bool {
    let Some(copy) = wanted() else {
        return false;
    };
    let kept = match KEPT.get_ptr_mut(tid) {
        Some(kept) => kept,
        None => {
            let Some(nothing) = NOTHING_KEPT.get(0) else {
                return false;
            };
            if KEPT.insert(tid, nothing, 0).is_err() {
                return false;
            }
            let Some(kept) = KEPT.get_ptr_mut(tid) else {
                return false;
            };
            kept
        }
    };
    let moment = sampled(control, inside, registers, pid, tid, true);
    // SAFETY: `kept` points to a live map value that only this thread's switches touch.
    unsafe { fill(copy, kept, &moment) };
    true
}

/// Sends what was kept of a thread.
#[inline(always)]
pub fn send_kept(tid: u32) {
    let Some(kept) = KEPT.get_ptr_mut(tid) else {
        return;
    };
    // SAFETY: `kept` points to a live map value of a thread that does not run yet, and there are as many bytes
    // of it at most.
    unsafe {
        let bytes = at_most::<MAX_COPY_BYTES>(u64::from((*kept).head.bytes));
        record::send(kept, size_of::<StackCopyHead>() as u64 + bytes);
    }
}

/// A thread ended.
#[inline(always)]
pub fn forget(tid: u32) {
    if wanted().is_some() {
        let _ = KEPT.remove(tid);
    }
}

/// Sends a copy in a record of the least size that is enough: the size of a reservation has to be
/// a constant.
#[inline(never)]
fn send(copy: &CopyControl, moment: &Moment) -> bool {
    let bytes = bytes_of(copy, moment);
    if bytes <= 1 << 8 {
        send_sized::<{ 1 << 8 }>(copy, moment)
    } else if bytes <= 1 << 9 {
        send_sized::<{ 1 << 9 }>(copy, moment)
    } else if bytes <= 1 << 10 {
        send_sized::<{ 1 << 10 }>(copy, moment)
    } else if bytes <= 2 << 10 {
        send_sized::<{ 2 << 10 }>(copy, moment)
    } else if bytes <= 4 << 10 {
        send_sized::<{ 4 << 10 }>(copy, moment)
    } else if bytes <= 8 << 10 {
        send_sized::<{ 8 << 10 }>(copy, moment)
    } else {
        send_sized::<MAX_COPY_BYTES>(copy, moment)
    }
}

#[inline(always)]
fn send_sized<const N: usize>(copy: &CopyControl, moment: &Moment) -> bool {
    let Some(mut entry) = RECORDS.reserve::<StackCopy<N>>(0) else {
        lose(Loss::RingFull);
        return false;
    };
    // SAFETY: a reserved record of this type.
    unsafe { fill(copy, entry.as_mut_ptr(), moment) };
    record::submit(entry);
    true
}

/// Bytes that the stack has, as far as they are wanted.
#[inline(always)]
fn bytes_of(copy: &CopyControl, moment: &Moment) -> u64 {
    let bytes = moment.top.wrapping_sub(moment.registers.sp);
    bytes.min(u64::from(copy.bytes))
}

/// # Safety
/// `out` must point to a live copy.
#[inline(always)]
unsafe fn fill<const N: usize>(copy: &CopyControl, out: *mut StackCopy<N>, moment: &Moment) {
    // SAFETY: promised by the caller; user memory is read by a helper that checks the address.
    unsafe {
        let head = &raw mut (*out).head;
        (*head).kind = KIND_STACK_COPY;
        (*head).tid = moment.tid;
        (*head).pid = moment.pid;
        (*head).flags = moment.flags;
        (*head).ip = moment.registers.ip;
        (*head).sp = moment.registers.sp;
        (*head).fp = moment.registers.fp;
        (*head).position = moment.position;
        (*head).top = moment.top;
        (*head).hidden_count = hidden(copy, &raw mut (*head).hidden);
        let mut wanted = bytes_of(copy, moment);
        let mut read = 0;
        // Pages may be missing at the end, where nobody knows how long the stack is.
        for _ in 0..TRIES {
            let bytes = at_most::<N>(wanted);
            let failed = bpf_probe_read_user(
                (&raw mut (*out).stack).cast(),
                bytes as u32,
                moment.registers.sp as *const _,
            );
            if failed == 0 {
                read = bytes;
                break;
            }
            wanted = bytes / 2;
        }
        (*head).bytes = read as u32;
    }
}

/// `value`, but `N` at the most. The verifier has to see that, whatever the compiler can prove.
#[inline(always)]
pub fn at_most<const N: usize>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on one register.
    unsafe {
        asm!(
            "if {value} <= {most} goto +1",
            "{value} = {most}",
            value = inout(reg) value,
            most = const N,
        );
    }
    value
}

/// The return address of the call that ends, which lies at `position` if no return probe has
/// taken it; 0 if it cannot be read.
#[inline(always)]
pub fn return_address<C: EbpfContext>(ctx: &C, position: u64) -> u64 {
    // SAFETY: a probe's context is registers.
    let registers = unsafe { Registers::of(ctx.as_ptr().cast_const().cast()) };
    if registers.sp > position {
        return registers.ip;
    }
    // SAFETY: reading user memory by a helper that checks the address.
    unsafe { aya_ebpf::helpers::bpf_probe_read_user(position as *const u64) }.unwrap_or(0)
}

/// The return address that a return probe of the current thread has taken from the stack at `at`.
#[inline(always)]
pub fn unhidden(at: u64) -> Option<u64> {
    let copy = COPY.get(0).filter(|copy| copy.find_hidden != 0)?;
    let mut next = first_hidden(copy);
    for _ in 0..MAX_HIDDEN {
        if next == 0 {
            break;
        }
        if word(next + u64::from(copy.stack_offset)) == Some(at) {
            return word(next + u64::from(copy.address_offset));
        }
        next = word(next + u64::from(copy.next_offset)).unwrap_or(0);
    }
    None
}

/// Where the kernel describes the return probe that the current thread will meet next; 0 for none.
#[inline(always)]
fn first_hidden(copy: &CopyControl) -> u64 {
    // SAFETY: takes no arguments.
    let task = unsafe { bpf_get_current_task_btf() } as u64;
    word(task + u64::from(copy.utask_offset))
        .filter(|utask| *utask != 0)
        .and_then(|utask| word(utask + u64::from(copy.instances_offset)))
        .unwrap_or(0)
}

/// Notes the return addresses that return probes of the current thread have taken from the stack.
#[inline(always)]
fn hidden(copy: &CopyControl, out: *mut [Hidden; MAX_HIDDEN]) -> u32 {
    if copy.find_hidden == 0 {
        return 0;
    }
    let mut next = first_hidden(copy);
    let mut count = 0;
    for index in 0..MAX_HIDDEN {
        if next == 0 {
            break;
        }
        let at = word(next + u64::from(copy.stack_offset)).unwrap_or(0);
        let address = word(next + u64::from(copy.address_offset)).unwrap_or(0);
        // SAFETY: the index is inside the array.
        unsafe {
            out.cast::<Hidden>()
                .add(index)
                .write(Hidden { at, address })
        };
        count = index as u32 + 1;
        next = word(next + u64::from(copy.next_offset)).unwrap_or(0);
    }
    count
}
