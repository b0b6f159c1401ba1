//! What the kernel can do.

use super::{Check, RUN_AS_ROOT, kernel_version};
use crate::system::facts::{BpfSyscall, Feature, HostFacts, Lockdown};

/// Kernel version that has everything monigo needs (attach cookies came last).
const NEEDED_KERNEL: (u32, u32) = (5, 15);

pub(super) fn kernel(facts: &HostFacts) -> Check {
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

pub(super) fn bpf_syscall(facts: &HostFacts) -> Check {
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

pub(super) fn uprobes(facts: &HostFacts) -> Check {
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

pub(super) fn ring_buffer(facts: &HostFacts) -> Check {
    required(
        "BPF ring buffer",
        facts.ring_buffer,
        "5.8",
        "calls could not be recorded",
    )
}

pub(super) fn attach_cookie(facts: &HostFacts) -> Check {
    required(
        "attach cookies",
        facts.attach_cookie,
        "5.15",
        "probes could not tell functions apart",
    )
}

pub(super) fn bpf_loop(facts: &HostFacts) -> Check {
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

pub(super) fn find_vma(facts: &HostFacts) -> Check {
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

pub(super) fn uprobe_multi(facts: &HostFacts) -> Check {
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

pub(super) fn btf(facts: &HostFacts) -> Check {
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

pub(super) fn lockdown(facts: &HostFacts) -> Check {
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

pub(super) fn jit(facts: &HostFacts) -> Check {
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
