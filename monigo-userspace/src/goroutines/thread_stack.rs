//! The stack of one thread.

use std::{fs, path::PathBuf};

use monigo_common::copy::{COPY_IN_KERNEL, StackCopyHead};
use procfs::process::Syscall;

use super::{MOST_FRAMES, memory::Memory};
use crate::{
    probe::StackCopy,
    unwind::{End, Unwinder},
};

/// Most of a stack that is copied.
const MOST_STACK_BYTES: usize = 16 << 10;
/// The least piece of a stack that is copied: the rest of a page.
const PAGE_BYTES: u64 = 4096;

/// What a look at a stack brought.
pub(super) enum Seen {
    /// Addresses, innermost first, and whether the outermost is missing.
    Stack(Vec<u64>, bool),
    /// It runs.
    Running,
    /// It ran each time that it was copied.
    Moving,
    /// The kernel does not tell, or it ended.
    Refused,
}

/// The stack of a thread that waits in the kernel, which tells the stack pointer of such.
pub(super) fn look(unwinder: &mut Unwinder, pid: u32, memory: Memory, tid: u32) -> Seen {
    const TRIES: usize = 2;
    for _ in 0..TRIES {
        let slices = slices(pid, tid);
        let (sp, ip) = match position(pid, tid) {
            Some(Syscall::Blocked {
                stack_pointer,
                program_counter,
                ..
            }) => (stack_pointer, program_counter),
            Some(Syscall::Running) => return Seen::Running,
            _ => return Seen::Refused,
        };
        let Some(stack) = copy(memory, sp) else {
            return Seen::Refused;
        };
        // A thread that did not run is where it was.
        if slices.is_none() || self::slices(pid, tid) != slices {
            continue;
        }
        let head = StackCopyHead {
            tid,
            pid,
            flags: COPY_IN_KERNEL,
            ip,
            sp,
            top: u64::MAX,
            bytes: stack.len() as u32,
            ..StackCopyHead::default()
        };
        let walk = unwinder.walk(&StackCopy {
            head,
            stack: &stack,
        });
        let mut addresses = walk.addresses;
        addresses.truncate(MOST_FRAMES);
        return Seen::Stack(addresses, walk.end != End::Complete);
    }
    Seen::Moving
}

/// A file of a thread.
pub(super) fn path(pid: u32, tid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}/{file}"))
}

/// How often a thread has been put on a CPU.
fn slices(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(path(pid, tid, "schedstat")).ok()?;
    text.split_whitespace().nth(2)?.parse().ok()
}

fn position(pid: u32, tid: u32) -> Option<Syscall> {
    let text = fs::read(path(pid, tid, "syscall")).ok()?;
    procfs::FromRead::from_read(&*text).ok()
}

/// The stack from `sp` on, as far as it is mapped.
fn copy(memory: Memory, sp: u64) -> Option<Vec<u8>> {
    let end = sp.checked_add(MOST_STACK_BYTES as u64)?;
    let mut pieces = Vec::new();
    let mut at = sp;
    while at < end {
        let next = (at / PAGE_BYTES + 1).checked_mul(PAGE_BYTES)?.min(end);
        pieces.push((at, (next - at) as usize));
        at = next;
    }
    let read = memory.read_many(&pieces).ok()?;
    let bytes: Vec<u8> = read
        .into_iter()
        .map_while(|piece| piece)
        .flat_map(<[u8]>::into_vec)
        .collect();
    (!bytes.is_empty()).then_some(bytes)
}
