//! What monigo may do on this host.

use super::{Check, RUN_AS_ROOT, capable, older};
use crate::system::facts::{BpfSyscall, HostFacts, cap};

/// From here on BPF memory is charged to the cgroup, not to `RLIMIT_MEMLOCK`.
const CGROUP_ACCOUNTING_KERNEL: (u32, u32) = (5, 11);
/// Locked memory that monigo's maps may need, bytes.
const MEMLOCK_NEEDED_BYTES: u64 = 256 << 20;

pub(super) fn privileges(facts: &HostFacts) -> Check {
    let name = "privileges";
    let who = if facts.effective_uid == 0 {
        "root".to_owned()
    } else {
        format!("user {}", facts.effective_uid)
    };
    if capable(facts, cap::SYS_ADMIN) {
        return Check::ok(name, format!("{who}, CAP_SYS_ADMIN"));
    }
    let lacking: Vec<&str> = [(cap::BPF, "CAP_BPF"), (cap::PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(number, _)| !capable(facts, *number))
        .map(|(_, name)| name)
        .collect();
    if lacking.is_empty() {
        return Check::ok(name, format!("{who}, CAP_BPF and CAP_PERFMON"));
    }
    let remedy = if facts.effective_uid == 0 {
        "this root has been stripped of capabilities, as in a container: \
         docker run --privileged --pid=host, or --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE"
    } else {
        RUN_AS_ROOT
    };
    Check::missing(
        name,
        format!("{who}, without {}", lacking.join(" and ")),
        "the kernel refuses BPF programs and uprobes",
        remedy,
    )
}

pub(super) fn ptrace(facts: &HostFacts) -> Check {
    let name = "other users' processes";
    if capable(facts, cap::SYS_PTRACE) || capable(facts, cap::SYS_ADMIN) {
        Check::ok(name, "CAP_SYS_PTRACE")
    } else {
        Check::warning(
            name,
            "no CAP_SYS_PTRACE",
            "only your own processes' executables and mappings can be read",
            RUN_AS_ROOT,
        )
    }
}

pub(super) fn user_namespace(facts: &HostFacts) -> Check {
    let name = "user namespace";
    match facts.initial_user_namespace {
        Some(true) => Check::ok(name, "the host's"),
        None => Check::warning(name, "not readable", "", ""),
        // Capabilities count only in the first one, whatever CapEff says.
        Some(false) => Check::missing(
            name,
            "not the host's",
            "root in here is an ordinary user to the kernel",
            "run monigo on the host, or in a container without user namespace (--userns=host)",
        ),
    }
}

pub(super) fn pid_namespace(facts: &HostFacts) -> Check {
    let name = "PID namespace";
    let inside = facts
        .container
        .as_ref()
        .map(|kind| format!(" ({kind} container)"))
        .unwrap_or_default();
    match facts.initial_pid_namespace {
        Some(true) => Check::ok(name, format!("the host's{inside}")),
        None => Check::warning(
            name,
            "not readable",
            "is /proc mounted?",
            "mount -t proc proc /proc",
        ),
        Some(false) => Check::warning(
            name,
            format!("not the host's{inside}"),
            "only processes of this namespace can be seen and named by PID",
            "docker run --pid=host, or hostPID: true in Kubernetes",
        ),
    }
}

pub(super) fn seccomp(facts: &HostFacts) -> Check {
    let name = "seccomp";
    match facts.seccomp {
        None => Check::ok(name, "not in this kernel"),
        Some(0) => Check::ok(name, "off"),
        Some(_) if facts.bpf == BpfSyscall::Works => {
            Check::ok(name, "a filter is active and lets bpf() through")
        }
        Some(_) => Check::warning(
            name,
            "a filter is active",
            "it may be what refuses bpf() and perf_event_open()",
            "docker run --security-opt seccomp=unconfined",
        ),
    }
}

/// Only old kernels charge BPF memory to this limit.
pub(super) fn memlock(facts: &HostFacts) -> Option<Check> {
    let name = "locked memory";
    if !older(facts, CGROUP_ACCOUNTING_KERNEL) || capable(facts, cap::SYS_RESOURCE) {
        return None;
    }
    let limit = facts.memlock_bytes?;
    (limit < MEMLOCK_NEEDED_BYTES).then(|| {
        Check::missing(
            name,
            format!("limit of {} KiB", limit >> 10),
            "before Linux 5.11 BPF maps count as locked memory",
            "ulimit -l unlimited (as root), then start monigo from that shell",
        )
    })
}
