//! Threads and processes come and go.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    programs::{RawTracePointContext, TracePointContext},
};
use monigo_common::open::OwnerKey;

use crate::{
    copy,
    maps::{CONTROL, OPEN, PROCESSES},
    stack::Stack,
};

/// Closes what a thread had open. Goroutines outlive threads and are swept by the user side.
#[inline(always)]
fn close(pid: u32, tid: u32) {
    let key = OwnerKey {
        pid,
        pad: 0,
        owner: u64::from(tid),
    };
    if let Some(open) = OPEN.get_ptr_mut(key) {
        Stack::new(open, key).unwind_all();
        let _ = OPEN.remove(key);
    }
}

/// The current thread ends.
#[inline(always)]
pub fn thread_exit() {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    close(pid, tid);
    copy::forget(tid);
    if pid == tid {
        let _ = PROCESSES.remove(pid);
    }
}

/// The current process replaced its image; the thread that did it had id `old_pid`.
#[inline(always)]
pub fn process_exec(ctx: &RawTracePointContext) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // Arguments of the tracepoint: (task, old_pid, bprm).
    let old_tid: u64 = ctx.arg(1);
    close(pid, old_tid as u32);
}

/// The current process forks: lists the child when it is listed itself.
#[inline(always)]
pub fn process_fork(ctx: &TracePointContext) {
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if control.follow_forks == 0 || PROCESSES.get_ptr(pid).is_none() {
        return;
    }
    // SAFETY: the offset comes from the kernel's own description of the event.
    let Ok(child) = (unsafe { ctx.read_at::<u32>(control.fork_child_offset as usize) }) else {
        return;
    };
    let _ = PROCESSES.insert(child, 1, 0);
}
