//! Who makes a call, and where on its stack.

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel, bpf_probe_read_user},
};
use monigo_common::{
    config::Control,
    cookie::{Cookie, FLAG_GO},
    open::{OpenCalls, OwnerKey},
};

use crate::{
    maps::{CONTROL, NOTHING_OPEN, OPEN, PROCESSES, note_open},
    record,
};

/// Offset of `stack.hi` in Go's `runtime.g`, stable since Go 1.2.
pub const G_STACK_HI: u64 = 8;

/// The caller of a probe.
pub struct Owner {
    /// Thread or goroutine.
    pub key: OwnerKey,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id, or 0.
    pub goid: u64,
    /// See [`monigo_common::open::OpenCall::position`].
    pub position: u64,
}

/// Whether calls of process `pid` are counted now.
#[inline(always)]
pub fn is_traced(control: &Control, pid: u32) -> bool {
    control.armed != 0
        && (control.only_pid == 0 || control.only_pid == pid)
        && (control.only_listed == 0 || PROCESSES.get_ptr(pid).is_some())
}

/// Ids of a thread.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Thread-group id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}

/// The settings and the current thread, if its calls are counted now.
#[inline(always)]
pub fn settings_if_traced() -> Option<(&'static Control, Thread)> {
    let control = CONTROL.get(0)?;
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    is_traced(control, pid).then_some((control, Thread { pid, tid }))
}

/// Identifies the owner of the call at a probe whose stack pointer, corrected to what it was at
/// function entry, is `sp`. Reading user memory is the dearest part for goroutines, so their id is
/// only read if wanted. `None` when goroutine state cannot be read.
#[inline(always)]
pub fn identify(
    regs: *const pt_regs,
    sp: u64,
    cookie: Cookie,
    control: &Control,
    thread: Thread,
    want_goid: bool,
) -> Option<Owner> {
    let Thread { pid, tid } = thread;
    if cookie.flags & FLAG_GO == 0 {
        return Some(Owner {
            key: OwnerKey {
                pid,
                pad: 0,
                owner: u64::from(tid),
            },
            tid,
            goid: 0,
            position: sp,
        });
    }
    // Go's register ABI keeps the current g in r14 at entry and at return.
    // SAFETY: `regs` is the program's context.
    let g = unsafe { (*regs).r14 };
    // SAFETY: reading user memory by a helper that checks the address.
    let hi = unsafe { bpf_probe_read_user((g + G_STACK_HI) as *const u64) }.ok()?;
    let goid = if control.goid_offset == 0 || !want_goid {
        0
    } else {
        // SAFETY: as above.
        unsafe { bpf_probe_read_user((g + u64::from(control.goid_offset)) as *const u64) }.ok()?
    };
    Some(Owner {
        key: OwnerKey {
            pid,
            pad: 0,
            owner: g,
        },
        tid,
        goid,
        position: sp.wrapping_sub(hi),
    })
}

/// Where the open calls of an owner are kept.
pub enum Place {
    /// In order, with the owner.
    Own(*mut OpenCalls),
    /// By address: the stack is not the owner's own.
    Foreign,
    /// There is no room for another owner.
    Full,
}

/// Where a call that begins is to be kept.
#[inline(always)]
pub fn place(owner: &Owner, control: &Control) -> Place {
    if let Some(open) = OPEN.get_ptr_mut(owner.key) {
        // SAFETY: `open` points to a live map value that only its owner's probes touch.
        if unsafe { (*open).unbounded } != 0 {
            bound(open, owner, control);
        }
        return if is_on(open, owner.position) {
            Place::Own(open)
        } else {
            Place::Foreign
        };
    }
    let Some(nothing) = NOTHING_OPEN.get(0) else {
        return Place::Full;
    };
    if OPEN.insert(owner.key, nothing, 0).is_err() {
        return Place::Full;
    }
    if note_open(owner.key.pid) {
        record::announce(owner.key.pid);
    }
    let Some(open) = OPEN.get_ptr_mut(owner.key) else {
        return Place::Full;
    };
    // SAFETY: `open` points to a live map value that only its owner's probes touch.
    unsafe { (*open).goid = owner.goid };
    bound(open, owner, control);
    if is_on(open, owner.position) {
        Place::Own(open)
    } else {
        Place::Foreign
    }
}

/// Notes where the owner's own stack is.
#[inline(always)]
fn bound(open: *mut OpenCalls, owner: &Owner, control: &Control) {
    let found = own_stack(owner, control);
    let unbounded = u32::from(found.is_none());
    let bounds = found.unwrap_or(Bounds::EVERYWHERE);
    // SAFETY: `open` points to a live map value that only its owner's probes touch.
    unsafe {
        (*open).stack_low = bounds.low;
        (*open).stack_high = bounds.high;
        (*open).unbounded = unbounded;
    }
}

/// The calls that the owner has open on its own stack, if it is on it.
#[inline(always)]
pub fn place_if_known(owner: &Owner) -> Option<*mut OpenCalls> {
    OPEN.get_ptr_mut(owner.key)
        .filter(|&open| is_on(open, owner.position))
}

#[inline(always)]
fn is_on(open: *mut OpenCalls, position: u64) -> bool {
    // SAFETY: `open` points to a live map value.
    let (low, high) = unsafe { ((*open).stack_low, (*open).stack_high) };
    low <= position && position < high
}

/// Addresses of a stack.
#[repr(C)]
struct Bounds {
    low: u64,
    high: u64,
}

impl Bounds {
    /// Every stack counts as the own one.
    const EVERYWHERE: Self = Self {
        low: 0,
        high: u64::MAX,
    };
}

/// The initial thread's stack grows, and the kernel keeps at least this much free for it.
/// Source: `MIN_GAP` in Linux `mm/util.c`.
const MAIN_STACK_BYTES: u64 = 128 << 20;

/// The stack that a thread was started on. `None` when the kernel does not say now.
#[inline(always)]
fn own_stack(owner: &Owner, control: &Control) -> Option<Bounds> {
    let thread = owner.key.owner == u64::from(owner.tid);
    if control.fsbase_offset == 0 || !thread {
        return Some(Bounds::EVERYWHERE);
    }
    stack_of_thread(owner.key.pid == owner.tid, control)
}

/// Where the initial thread's stack began.
#[inline(always)]
fn start_stack(task: u64, control: &Control) -> Option<u64> {
    let mm = kernel_word(task, control.mm_offset)?;
    kernel_word(mm, control.start_stack_offset)
}

#[inline(always)]
fn kernel_word(base: u64, offset: u32) -> Option<u64> {
    // SAFETY: reading kernel memory by a helper that checks the address.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const u64) }.ok()
}

/// The stack of the current thread, which is the initial one of its process or not: a memory area
/// that some address is known to be in.
#[cfg(not(feature = "portable"))]
#[inline(always)]
fn stack_of_thread(initial: bool, control: &Control) -> Option<Bounds> {
    use core::ffi::c_void;

    use aya_ebpf::{
        bindings::task_struct,
        helpers::generated::{bpf_find_vma, bpf_get_current_task_btf},
    };

    /// Called with the memory area that an address is in.
    #[inline(never)]
    extern "C" fn note_bounds(
        _task: *mut task_struct,
        area: *const u64,
        bounds: *mut c_void,
    ) -> i64 {
        // SAFETY: `bpf_find_vma` passes on what it was given below.
        let bounds = unsafe { &mut *bounds.cast::<Bounds>() };
        // `vm_start` and `vm_end` are the first two words of `struct vm_area_struct`.
        bounds.low = kernel_word(area as u64, 0).unwrap_or(0);
        bounds.high = kernel_word(area as u64, 8).unwrap_or(0);
        0
    }

    // SAFETY: takes no arguments.
    let task = unsafe { bpf_get_current_task_btf() };
    let anchor = if initial {
        start_stack(task as u64, control)?
    } else {
        // C libraries keep the thread control block on the thread's own stack.
        kernel_word(task as u64, control.fsbase_offset)?
    };
    let mut bounds = Bounds { low: 0, high: 0 };
    // SAFETY: the callback and its argument outlive the call.
    let found = unsafe {
        bpf_find_vma(
            task,
            anchor,
            note_bounds as *mut c_void,
            (&raw mut bounds).cast(),
            0,
        )
    };
    if found != 0 {
        return None;
    }
    if initial {
        bounds.low = bounds.low.min(bounds.high.saturating_sub(MAIN_STACK_BYTES));
    } else {
        // The control block is at the top; what lies above in the same area is someone else's.
        bounds.high = bounds.high.min(anchor);
    }
    Some(bounds)
}

/// Where the kernel keeps the current thread's thread pointer.
#[inline(always)]
fn thread_pointer(control: &Control) -> Option<u64> {
    if control.fsbase_offset == 0 {
        return None;
    }
    // SAFETY: takes no arguments.
    let task = unsafe { aya_ebpf::helpers::generated::bpf_get_current_task() };
    kernel_word(task, control.fsbase_offset)
}

/// The `g` that the current thread runs, which may be that of the scheduler. `None` when it is not
/// known where Go keeps it.
#[inline(always)]
pub fn current_g(control: &Control) -> Option<u64> {
    if control.tls_g_offset == 0 {
        return None;
    }
    let at = thread_pointer(control)?.wrapping_add_signed(i64::from(control.tls_g_offset));
    user_word(at).filter(|&g| g != 0)
}

/// Offset of `m` in Go's `runtime.g`, stable since Go 1.9.
const G_M: u64 = 48;

/// The goroutine on whose behalf the thread runs that runs `g`: on the scheduler's stack this is
/// another one than `g`. `None` when there is none.
#[inline(always)]
pub fn user_g(control: &Control, g: u64) -> Option<u64> {
    if control.curg_offset == 0 {
        return None;
    }
    let m = user_word(g + G_M)?;
    user_word(m + u64::from(control.curg_offset)).filter(|&g| g != 0)
}

/// A word of user memory; `None` when it is not there.
#[inline(always)]
pub fn user_word(at: u64) -> Option<u64> {
    // SAFETY: reading user memory by a helper that checks the address.
    unsafe { bpf_probe_read_user(at as *const u64) }.ok()
}

/// The same for kernels without `bpf_find_vma`: only of the initial thread the stack is known, by
/// where it began.
#[cfg(feature = "portable")]
#[inline(always)]
fn stack_of_thread(initial: bool, control: &Control) -> Option<Bounds> {
    use aya_ebpf::helpers::generated::bpf_get_current_task;

    if !initial {
        return Some(Bounds::EVERYWHERE);
    }
    // SAFETY: takes no arguments.
    let high = start_stack(unsafe { bpf_get_current_task() }, control)?;
    Some(Bounds {
        low: high.saturating_sub(MAIN_STACK_BYTES),
        high,
    })
}
