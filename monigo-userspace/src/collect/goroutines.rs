//! Whether a goroutine still exists, read from the memory of its process.
//!
//! The kernel side sees no goroutine end. One that ends inside a traced call (`runtime.Goexit`)
//! leaves the call open until the runtime reuses its `g`.

use std::io::IoSliceMut;

use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

/// `_Gdead` in Go's `runtime/runtime2.go`: unused, or just ended.
const DEAD: u32 = 6;
/// `_Gscan`: the garbage collector looks at the stack; the other bits hold the state.
const SCAN: u32 = 0x1000;
/// `atomicstatus`, `stackLock` (4 bytes each) and `goid` (8) lie side by side in `runtime.g`.
const STATUS_BEFORE_GOID: u64 = 8;

/// Whether goroutine `goid`, last seen as the `g` at `address`, has ended. `None` when the memory
/// cannot be read.
pub fn has_ended(pid: u32, address: u64, goid: u64, goid_offset: u32) -> Option<bool> {
    let start = address
        .checked_add(u64::from(goid_offset))?
        .checked_sub(STATUS_BEFORE_GOID)?;
    let mut bytes = [0; 16];
    let remote = RemoteIoVec {
        base: usize::try_from(start).ok()?,
        len: bytes.len(),
    };
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[remote]).ok()?;
    (read == bytes.len()).then(|| ended(&bytes, goid))
}

fn ended(bytes: &[u8; 16], goid: u64) -> bool {
    let (status, rest) = bytes.split_at(4);
    let status = status.try_into().map_or(0, u32::from_ne_bytes);
    let current = rest[4..].try_into().map_or(0, u64::from_ne_bytes);
    status & !SCAN == DEAD || current != goid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(status: u32, goid: u64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&status.to_ne_bytes());
        bytes[8..].copy_from_slice(&goid.to_ne_bytes());
        bytes
    }

    #[test]
    fn dead_or_reused_is_over() {
        assert!(!ended(&memory(2, 17), 17), "running");
        assert!(!ended(&memory(4 | SCAN, 17), 17), "waiting, scanned");
        assert!(ended(&memory(DEAD, 17), 17));
        assert!(ended(&memory(2, 18), 17), "another goroutine has the g");
    }

    #[test]
    fn unreadable_memory_is_no_answer() {
        assert_eq!(has_ended(std::process::id(), 16, 1, 152), None);
    }
}
