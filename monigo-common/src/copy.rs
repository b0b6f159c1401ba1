//! Registers and the top of a user stack, copied by the kernel side so that the user side can
//! unwind them.
//!
//! Such a record stands before the one that it belongs to, which says that it has one
//! ([`KIND_CALL_COPIED`], [`STACK_COPIED`]); thread and order tell the pair. A thread has at most
//! one on the way.

use crate::pod;

/// Kind of a [`StackCopyHead`], followed by the bytes of the stack.
pub const KIND_STACK_COPY: u32 = 16;
/// `CallRecord::kind`: a call whose stack was copied.
pub const KIND_CALL_COPIED: u32 = 17;
/// `SampleHead::user_bytes`: the stack was copied.
pub const STACK_COPIED: i64 = i64::MIN;

/// Most bytes of a stack that are copied.
pub const MAX_COPY_BYTES: usize = 16 << 10;

/// Most return probes that are looked at for the return addresses that they hide.
pub const MAX_HIDDEN: usize = 8;

/// `StackCopyHead::flags`: the instruction address is a return address, as a return probe sees it.
pub const COPY_RETURNED: u32 = 1;
/// `StackCopyHead::flags`: the thread was in the kernel.
pub const COPY_IN_KERNEL: u32 = 2;

/// What a return probe has taken from the stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Address on the stack.
    pub at: u64,
    /// Return address that belongs there.
    pub address: u64,
}

/// User registers at one moment, and how much of the stack follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackCopyHead {
    /// [`KIND_STACK_COPY`]; first, so that a reader can tell records apart.
    pub kind: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// Process (thread group) id, in the initial pid namespace.
    pub pid: u32,
    /// `COPY_*`.
    pub flags: u32,
    /// Address of the instruction.
    pub ip: u64,
    /// Stack pointer; the bytes that follow begin here.
    pub sp: u64,
    /// Frame pointer, or whatever else the code keeps in its register.
    pub fp: u64,
    /// Where the innermost open call has its return address; 0 when not known.
    pub position: u64,
    /// Where the stack ends, or `u64::MAX` if that is not known.
    pub top: u64,
    /// Bytes of the stack that follow and are valid; the record may be longer.
    pub bytes: u32,
    /// Return addresses in `hidden`.
    pub hidden_count: u32,
    /// Return addresses that are not on the stack, innermost first.
    pub hidden: [Hidden; MAX_HIDDEN],
}

/// A copy as the kernel side reserves it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StackCopy<const N: usize> {
    /// Registers.
    pub head: StackCopyHead,
    /// The stack from the stack pointer on.
    pub stack: [u8; N],
}

/// What is copied; one element in an array map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyControl {
    /// Most bytes to copy of a stack, at most [`MAX_COPY_BYTES`]; 0 to walk by frame pointers.
    pub bytes: u32,
    /// Return probes are in use, and the offsets below are known (0 or 1).
    pub find_hidden: u32,
    /// Offset of `utask` in `task_struct`, bytes.
    pub utask_offset: u32,
    /// Offset of `return_instances` in `uprobe_task`, bytes.
    pub instances_offset: u32,
    /// Offset of `stack` in `return_instance`, bytes.
    pub stack_offset: u32,
    /// Offset of `orig_ret_vaddr` in `return_instance`, bytes.
    pub address_offset: u32,
    /// Offset of `next` in `return_instance`, bytes.
    pub next_offset: u32,
    /// Explicit padding.
    pub pad: u32,
}

const _: () = assert!(size_of::<StackCopyHead>() == 64 + 16 * MAX_HIDDEN);
const _: () = assert!(size_of::<StackCopy<1024>>() == size_of::<StackCopyHead>() + 1024);
const _: () = assert!(size_of::<CopyControl>() == 32);

pod!(StackCopyHead, CopyControl);
