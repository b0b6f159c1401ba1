//! Judging what was read: pure functions from [`HostFacts`] to a list of [`Check`].

mod allowed;
mod kernel;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::facts::HostFacts;

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

const RUN_AS_ROOT: &str = "run it as root: sudo monigo ...";

/// Every check, in the order of the report.
pub fn evaluate(facts: &HostFacts) -> Vec<Check> {
    let mut report = vec![
        machine(facts),
        kernel::kernel(facts),
        allowed::privileges(facts),
        kernel::bpf_syscall(facts),
        kernel::uprobes(facts),
        kernel::ring_buffer(facts),
        kernel::attach_cookie(facts),
        kernel::bpf_loop(facts),
        kernel::find_vma(facts),
        kernel::uprobe_multi(facts),
        kernel::btf(facts),
        kernel::lockdown(facts),
        allowed::ptrace(facts),
        allowed::user_namespace(facts),
        allowed::pid_namespace(facts),
        allowed::seccomp(facts),
        kernel::jit(facts),
        kernel_symbols(facts),
        unprivileged_bpf(facts),
        perf_event_paranoid(facts),
    ];
    report.extend(allowed::memlock(facts));
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
