//! Whether return probes harm a process under a seccomp filter, tried out on a child of monigo's own.

use super::{
    End, Kernel, Links, NOTHING, ProbeError, Probed, Role, Selection, own_image, planned,
    probed::RETURNS,
};
use crate::plan::CostClass;

/// Lets a child under a seccomp filter return from a function with a return probe.
pub fn return_probes_pass_seccomp(kernel: &mut Kernel) -> Result<bool, ProbeError> {
    let failed =
        |error: nix::errno::Errno| ProbeError::Calibration(format!("testing seccomp: {error}"));
    let (gate_out, gate_in) = nix::unistd::pipe().map_err(failed)?;
    // SAFETY: the child makes system calls and calls an empty function, and no more.
    let child = match unsafe { nix::unistd::fork() }.map_err(failed)? {
        nix::unistd::ForkResult::Child => {
            drop(gate_in);
            return_under_seccomp(&gate_out)
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    let first = kernel.room;
    let probed = Probed {
        function: RETURNS,
        entry: CostClass::Emulated,
        end: End::ReturnProbe,
    };
    let attached = own_image()
        .and_then(|image| planned(&probed, &image))
        .and_then(|planned| {
            let mut functions = vec![NOTHING.clone(); first as usize];
            functions.push(planned);
            let selection = Selection {
                functions: &functions,
                ids: &[first],
                generation: 0,
                pid: u32::try_from(child.as_raw()).ok(),
                futures: &kernel.future_sites,
            };
            kernel
                .programs
                .attach(&mut kernel.ebpf, Role::Return, selection)
        });
    // With or without probes: the child must not stay.
    let opened = nix::unistd::write(&gate_in, &[1]);
    let status = nix::sys::wait::waitpid(child, None).map_err(failed)?;
    Links::detach_all(vec![attached?], &mut kernel.ebpf);
    opened.map_err(failed)?;
    Ok(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)))
}

/// What the child does: waits, gives up all system calls but those to end, and calls.
fn return_under_seccomp(gate: &impl std::os::fd::AsFd) -> ! {
    let word = |k: u32| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let answer = |k: u32| libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // The number of the system call is the first word of `struct seccomp_data`.
    let mut filter = [
        word(0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_exit_group as u32,
        },
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let waited = nix::unistd::read(gate, &mut [0]).is_ok();
    // SAFETY: `program` and `filter` live through the calls; the function does nothing.
    unsafe {
        let ready = waited
            && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                std::ptr::from_ref(&program),
            ) == 0;
        if ready {
            RETURNS();
        }
        libc::_exit(i32::from(!ready))
    }
}
