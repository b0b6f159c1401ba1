//! Asks the kernel whether it knows links for many uprobes (Linux 6.6).

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};

use super::Feature;

/// `mov r0, 0; exit` as raw instructions.
const RETURN_ZERO: [u64; 2] = [0xb7, 0x95];

/// Loads a program that does nothing and tries to link it to a directory. A kernel that knows
/// the link says that this is no file (`EBADF`); an older one does not know the link (`EINVAL`).
pub(crate) fn probe() -> Feature {
    let Ok(program) = load() else {
        return Feature::Unknown;
    };
    let offset = 0_u64;
    // SAFETY: the kernel takes an all-zero attr as "nothing set".
    let mut attr: bpf_attr = unsafe { mem::zeroed() };
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: every bit pattern is valid for this variant, which holds integers only.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = c"/".as_ptr() as u64;
    multi.offsets = (&raw const offset) as u64;
    multi.cnt = 1;
    match bpf(bpf_cmd::BPF_LINK_CREATE, &attr) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Feature::Present,
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Feature::Absent,
        _ => Feature::Unknown,
    }
}

fn load() -> io::Result<OwnedFd> {
    // SAFETY: the kernel takes an all-zero attr as "nothing set".
    let mut attr: bpf_attr = unsafe { mem::zeroed() };
    // SAFETY: every bit pattern is valid for this variant, which holds integers only.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    load.insns = RETURN_ZERO.as_ptr() as u64;
    load.insn_cnt = RETURN_ZERO.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    bpf(bpf_cmd::BPF_PROG_LOAD, &attr)
}

/// Makes one call whose success yields a descriptor.
fn bpf(command: bpf_cmd, attr: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the attr and everything it points to outlive the call, and the size is its own.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<bpf_attr>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
