//! Judging what was read: pure functions from [`HostFacts`] to a list of [`Check`].

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::facts::{BpfSyscall, Feature, HostFacts, Lockdown, cap};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// monigo attaches, with a limit.
    Warning,
    /// monigo cannot attach.
    Missing,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        })
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// The verdict.
    #[serde(rename = "status")]
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// What it means for the user; empty if nothing.
    pub consequence: String,
    /// What to do, as an exact command where there is one; empty if nothing.
    pub remedy: String,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Ok,
            found: found.into(),
            consequence: String::new(),
            remedy: String::new(),
        }
    }

    fn warning(
        name: &'static str,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            consequence: consequence.into(),
            remedy: remedy.into(),
            ..Self::ok(name, found)
        }
    }

    fn missing(
        name: &'static str,
        found: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Missing,
            ..Self::warning(name, found, consequence, remedy)
        }
    }
}

/// Kernel version that has everything monigo needs (attach cookies came last).
const NEEDED_KERNEL: (u32, u32) = (5, 15);
/// From here on BPF memory is charged to the cgroup, not to `RLIMIT_MEMLOCK`.
const CGROUP_ACCOUNTING_KERNEL: (u32, u32) = (5, 11);
/// Locked memory that monigo's maps may need, bytes.
const MEMLOCK_NEEDED_BYTES: u64 = 256 << 20;

const RUN_AS_ROOT: &str = "run it as root: sudo monigo ...";

/// Every check, in the order of the report.
pub fn evaluate(facts: &HostFacts) -> Vec<Check> {
    let mut report = vec![
        machine(facts),
        kernel(facts),
        privileges(facts),
        bpf_syscall(facts),
        uprobes(facts),
        ring_buffer(facts),
        attach_cookie(facts),
        bpf_loop(facts),
        find_vma(facts),
        uprobe_multi(facts),
        btf(facts),
        lockdown(facts),
        ptrace(facts),
        user_namespace(facts),
        pid_namespace(facts),
        seccomp(facts),
        jit(facts),
        kernel_symbols(facts),
        unprivileged_bpf(facts),
        perf_event_paranoid(facts),
    ];
    report.extend(memlock(facts));
    report.push(tracefs(facts));
    report.push(cpus(facts));
    report
}

/// Major and minor number at the start of a release string.
pub(super) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn older(facts: &HostFacts, than: (u32, u32)) -> bool {
    kernel_version(&facts.kernel_release).is_some_and(|version| version < than)
}

fn capable(facts: &HostFacts, capability: u32) -> bool {
    match facts.capabilities {
        Some(mask) => mask & (1 << capability) != 0,
        None => facts.effective_uid == 0,
    }
}

fn machine(facts: &HostFacts) -> Check {
    let name = "architecture";
    if facts.machine == "x86_64" {
        Check::ok(name, "x86_64")
    } else {
        Check::missing(
            name,
            facts.machine.clone(),
            "monigo decodes x86-64 instructions only",
            "run monigo on an x86-64 host",
        )
    }
}

fn kernel(facts: &HostFacts) -> Check {
    let name = "kernel";
    let (major, minor) = NEEDED_KERNEL;
    match kernel_version(&facts.kernel_release) {
        Some(version) if version >= NEEDED_KERNEL => Check::ok(name, facts.kernel_release.clone()),
        // The features decide: distributions backport, and each feature has its own check.
        Some(_) => Check::warning(
            name,
            facts.kernel_release.clone(),
            format!(
                "monigo is made for Linux {major}.{minor} and later; the features below decide"
            ),
            format!("boot Linux {major}.{minor} or later"),
        ),
        None => Check::warning(
            name,
            format!("release {:?}", facts.kernel_release),
            "the version is unreadable; the features below decide",
            "",
        ),
    }
}

fn privileges(facts: &HostFacts) -> Check {
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

fn bpf_syscall(facts: &HostFacts) -> Check {
    let name = "bpf() system call";
    match facts.bpf {
        BpfSyscall::Works => Check::ok(name, "works"),
        BpfSyscall::Unknown => Check::warning(name, "not probed", "", ""),
        BpfSyscall::Fails(libc::ENOSYS) => Check::missing(
            name,
            "not there (ENOSYS)",
            "the kernel is built without it",
            "boot a kernel with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y",
        ),
        BpfSyscall::Fails(errno @ (libc::EPERM | libc::EACCES)) => {
            let remedy = if facts.seccomp == Some(2) {
                "a seccomp filter is active: start the container with \
                 --security-opt seccomp=unconfined, or --privileged"
            } else {
                RUN_AS_ROOT
            };
            Check::missing(
                name,
                errno_text("refused", errno),
                "no BPF program can be loaded",
                remedy,
            )
        }
        BpfSyscall::Fails(errno) => Check::missing(
            name,
            errno_text("fails", errno),
            "no BPF program can be loaded",
            RUN_AS_ROOT,
        ),
    }
}

fn errno_text(verb: &str, errno: i32) -> String {
    format!("{verb} ({})", nix::errno::Errno::from_raw(errno).desc())
}

fn uprobes(facts: &HostFacts) -> Check {
    let name = "uprobes";
    match facts.uprobe_pmu {
        Some(pmu) => Check::ok(name, format!("perf PMU {pmu}")),
        None => Check::missing(
            name,
            "no uprobe PMU in /sys/bus/event_source/devices",
            "functions cannot be probed",
            "boot a kernel with CONFIG_UPROBE_EVENTS=y; in a container, mount sysfs at /sys",
        ),
    }
}

/// A feature without which monigo cannot attach.
fn required(name: &'static str, answer: Feature, since: &str, consequence: &str) -> Check {
    match answer {
        Feature::Present => Check::ok(name, "present"),
        Feature::Absent => Check::missing(
            name,
            "absent",
            consequence,
            format!("boot Linux {since} or later"),
        ),
        Feature::Unknown => Check::warning(name, "not probed", "bpf() is not usable here", ""),
    }
}

fn ring_buffer(facts: &HostFacts) -> Check {
    required(
        "BPF ring buffer",
        facts.ring_buffer,
        "5.8",
        "calls could not be recorded",
    )
}

fn attach_cookie(facts: &HostFacts) -> Check {
    required(
        "attach cookies",
        facts.attach_cookie,
        "5.15",
        "probes could not tell functions apart",
    )
}

fn bpf_loop(facts: &HostFacts) -> Check {
    let name = "BPF loops";
    if facts.bpf_loop != Feature::Present && facts.map_loop == Feature::Present {
        return Check::ok(name, "over the elements of a map");
    }
    required(
        name,
        facts.bpf_loop,
        "5.15",
        "calls that an exception or a panic ends could not be counted",
    )
}

fn find_vma(facts: &HostFacts) -> Check {
    let name = "stacks of threads";
    match facts.find_vma {
        Feature::Present => Check::ok(name, "present"),
        Feature::Absent => Check::warning(
            name,
            "absent",
            "calls on other stacks than a thread's own, those of signal handlers and coroutines, \
             may count as unwound, and calls around them as well",
            "boot Linux 5.17 or later if the program has such stacks",
        ),
        Feature::Unknown => Check::warning(name, "not probed", "bpf() is not usable here", ""),
    }
}

fn uprobe_multi(facts: &HostFacts) -> Check {
    let name = "uprobe_multi link";
    match facts.uprobe_multi {
        Feature::Present => Check::ok(name, "present"),
        Feature::Absent => Check::warning(
            name,
            "absent",
            "each probe needs a descriptor of its own: attaching to many functions takes seconds",
            "trace fewer functions, or boot Linux 6.6 or later",
        ),
        Feature::Unknown => Check::warning(name, "not probed", "bpf() is not usable here", ""),
    }
}

fn btf(facts: &HostFacts) -> Check {
    let name = "kernel type information (BTF)";
    if facts.btf {
        Check::ok(name, "/sys/kernel/btf/vmlinux")
    } else {
        Check::warning(
            name,
            "no /sys/kernel/btf/vmlinux",
            "where the stacks of threads are is not known: calls on other stacks, those of signal \
             handlers and coroutines, may count as unwound, and calls around them as well",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
        )
    }
}

fn lockdown(facts: &HostFacts) -> Check {
    let name = "lockdown";
    match facts.lockdown {
        None => Check::ok(name, "not in this kernel, or not readable"),
        Some(Lockdown::None) => Check::ok(name, "off"),
        Some(Lockdown::Integrity) => Check::ok(name, "integrity"),
        Some(Lockdown::Confidentiality) => Check::missing(
            name,
            "confidentiality",
            "the kernel forbids BPF programs to read memory, and uprobes with them",
            "boot with lockdown=integrity, or without lockdown= on the kernel command line",
        ),
    }
}

fn ptrace(facts: &HostFacts) -> Check {
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

fn user_namespace(facts: &HostFacts) -> Check {
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

fn pid_namespace(facts: &HostFacts) -> Check {
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

fn seccomp(facts: &HostFacts) -> Check {
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

fn jit(facts: &HostFacts) -> Check {
    let name = "BPF JIT compiler";
    match facts.bpf_jit_enable {
        Some(0) => Check::warning(
            name,
            "off",
            "probes run in an interpreter and cost several times more",
            "sudo sysctl net.core.bpf_jit_enable=1",
        ),
        Some(_) => Check::ok(name, "on"),
        // Not shown outside the first network namespace, and absent where it is always on.
        None => Check::ok(name, "no switch here"),
    }
}

fn kernel_symbols(facts: &HostFacts) -> Check {
    let name = "kernel symbols";
    match facts.kptr_restrict {
        Some(2..) => Check::warning(
            name,
            "kernel.kptr_restrict=2",
            "kernel frames in stacks have no names",
            "sudo sysctl kernel.kptr_restrict=1",
        ),
        Some(value) => Check::ok(name, format!("kernel.kptr_restrict={value}")),
        None => Check::ok(name, "kernel.kptr_restrict not readable"),
    }
}

fn unprivileged_bpf(facts: &HostFacts) -> Check {
    let name = "unprivileged BPF";
    match facts.unprivileged_bpf_disabled {
        Some(0) => Check::warning(
            name,
            "kernel.unprivileged_bpf_disabled=0",
            "monigo does not need it, and it widens what any user may try on the kernel",
            "sudo sysctl kernel.unprivileged_bpf_disabled=2",
        ),
        Some(value) => Check::ok(name, format!("off ({value}); monigo is privileged")),
        None => Check::ok(name, "no switch here"),
    }
}

fn perf_event_paranoid(facts: &HostFacts) -> Check {
    let name = "perf_event_paranoid";
    let found = facts
        .perf_event_paranoid
        .map_or_else(|| "no switch here".to_owned(), |value| value.to_string());
    // Does not apply to CAP_PERFMON, without which the privileges check fails anyway.
    Check::ok(name, found)
}

/// Only old kernels charge BPF memory to this limit.
fn memlock(facts: &HostFacts) -> Option<Check> {
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

fn tracefs(facts: &HostFacts) -> Check {
    let name = "tracefs";
    match &facts.tracefs {
        Some(path) => Check::ok(name, path.display().to_string()),
        None => Check::ok(name, "not mounted; monigo attaches without it"),
    }
}

fn cpus(facts: &HostFacts) -> Check {
    Check::ok("CPUs", facts.cpus.to_string())
}
