//! Who ends a wait.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, generated::bpf_get_stack},
};
use monigo_common::event::{
    KIND_WAKER, Loss, MAX_WAKER_FRAMES, MAX_WAKER_KERNEL_FRAMES, WakerRecord,
};

use crate::{
    maps::{RECORDS, lose},
    record,
};

/// Sends that the current thread ended the wait that `owner` began at `since_ns`. `ctx` is the
/// program's context; `goid` is the waker's.
#[inline(always)]
pub fn send(ctx: *mut c_void, owner: u64, since_ns: u64, goid: u64, in_kernel: bool) {
    let Some(mut entry) = RECORDS.reserve::<WakerRecord>(0) else {
        lose(Loss::RingFull);
        return;
    };
    let out = entry.as_mut_ptr();
    let id = bpf_get_current_pid_tgid();
    let pid = (id >> 32) as u32;
    // SAFETY: `out` is a reserved record of this type.
    unsafe {
        (*out).kind = KIND_WAKER;
        (*out).pid = pid;
        (*out).tid = id as u32;
        (*out).pad = 0;
        (*out).owner = owner;
        (*out).since_ns = since_ns;
        (*out).goid = goid;
        (*out).name = bpf_get_current_comm().unwrap_or_default();
        (*out).user_bytes = 0;
        if pid != 0 {
            (*out).user_bytes = bpf_get_stack(
                ctx,
                (&raw mut (*out).user).cast(),
                (MAX_WAKER_FRAMES * 8) as u32,
                u64::from(BPF_F_USER_STACK),
            );
        }
        (*out).kernel_bytes = 0;
        if in_kernel {
            (*out).kernel_bytes = bpf_get_stack(
                ctx,
                (&raw mut (*out).kernel).cast(),
                (MAX_WAKER_KERNEL_FRAMES * 8) as u32,
                0,
            );
        }
    }
    record::submit(entry);
}
