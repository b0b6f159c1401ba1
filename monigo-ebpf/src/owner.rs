//! Who makes a call, and where on its stack.

use aya_ebpf::{
    bindings::pt_regs, helpers::bpf_get_current_pid_tgid, helpers::bpf_probe_read_user,
};
use monigo_common::{
    config::Control,
    cookie::{Cookie, FLAG_GO},
    open::OwnerKey,
};

use crate::maps::{CONTROL, PROCESSES};

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
    control.armed != 0 && (control.only_listed == 0 || PROCESSES.get_ptr(pid).is_some())
}

/// The settings, if calls of the current process are counted now.
#[inline(always)]
pub fn settings_if_traced() -> Option<&'static Control> {
    let control = CONTROL.get(0)?;
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    is_traced(control, pid).then_some(control)
}

/// Identifies the owner of the call at a probe whose stack pointer, corrected to what it was at
/// function entry, is `sp`. `None` when goroutine state cannot be read.
#[inline(always)]
pub fn identify(regs: *const pt_regs, sp: u64, cookie: Cookie, control: &Control) -> Option<Owner> {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
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
    let goid = if control.goid_offset == 0 {
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
