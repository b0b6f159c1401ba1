//! Verdicts over hosts made up for the purpose.

use super::*;
use crate::system::{
    facts::{
        BpfSyscall, Feature, Lockdown, cap, is_initial_id_map, parse_lockdown, status_field,
        tracefs_mount,
    },
    judge,
};

const ALL_CAPABILITIES: u64 = 0x1ff_ffff_ffff;

/// Root on a recent kernel.
fn good() -> HostFacts {
    HostFacts {
        kernel_release: "6.18.44-fc".into(),
        machine: "x86_64".into(),
        cpus: 2,
        effective_uid: 0,
        capabilities: Some(ALL_CAPABILITIES),
        initial_user_namespace: Some(true),
        initial_pid_namespace: Some(true),
        btf: true,
        uprobe_pmu: Some(8),
        bpf: BpfSyscall::Works,
        ring_buffer: Feature::Present,
        attach_cookie: Feature::Present,
        bpf_loop: Feature::Present,
        map_loop: Feature::Present,
        find_vma: Feature::Present,
        uprobe_multi: Feature::Present,
        unprivileged_bpf_disabled: Some(2),
        perf_event_paranoid: Some(2),
        kptr_restrict: Some(0),
        bpf_jit_enable: Some(1),
        lockdown: Some(Lockdown::None),
        seccomp: Some(0),
        container: None,
        memlock_bytes: Some(8 << 20),
        tracefs: None,
    }
}

/// Name and severity of everything that is not ok.
fn findings(facts: &HostFacts) -> Vec<(&'static str, Severity)> {
    evaluate(facts)
        .into_iter()
        .filter(|check| check.severity != Severity::Ok)
        .map(|check| (check.name, check.severity))
        .collect()
}

#[test]
fn a_good_host_has_no_findings() {
    assert_eq!(findings(&good()), []);
    assert_eq!(judge(&evaluate(&good())), Ok(()));
}

#[test]
fn an_ordinary_user_is_told_to_use_sudo() {
    let facts = HostFacts {
        effective_uid: 1000,
        capabilities: Some(0),
        bpf: BpfSyscall::Fails(libc::EPERM),
        ring_buffer: Feature::Unknown,
        attach_cookie: Feature::Unknown,
        bpf_loop: Feature::Unknown,
        map_loop: Feature::Unknown,
        find_vma: Feature::Unknown,
        uprobe_multi: Feature::Unknown,
        ..good()
    };
    let error = judge(&evaluate(&facts))
        .expect_err("must not be allowed")
        .to_string();
    assert!(
        error.contains("user 1000, without CAP_BPF and CAP_PERFMON"),
        "{error}"
    );
    assert!(error.contains("sudo monigo"), "{error}");
}

#[test]
fn two_capabilities_are_enough_to_attach() {
    let facts = HostFacts {
        effective_uid: 1000,
        capabilities: Some(1 << cap::BPF | 1 << cap::PERFMON),
        ..good()
    };
    assert_eq!(judge(&evaluate(&facts)), Ok(()));
    assert_eq!(
        findings(&facts),
        [("other users' processes", Severity::Warning)]
    );
}

#[test]
fn unreadable_capabilities_fall_back_to_the_user() {
    for (effective_uid, allowed) in [(0, true), (1000, false)] {
        let facts = HostFacts {
            effective_uid,
            capabilities: None,
            ..good()
        };
        assert_eq!(judge(&evaluate(&facts)).is_ok(), allowed, "{effective_uid}");
    }
}

/// Changes one thing on a good host and expects exactly one finding.
#[track_caller]
fn only(change: impl FnOnce(&mut HostFacts), name: &str, severity: Severity, remedy: &str) {
    let mut facts = good();
    change(&mut facts);
    let report = evaluate(&facts);
    let found: Vec<&Check> = report
        .iter()
        .filter(|check| check.severity != Severity::Ok)
        .collect();
    let [check] = found[..] else {
        panic!("expected one finding, {name}: {found:#?}");
    };
    assert_eq!((check.name, check.severity), (name, severity));
    assert!(check.remedy.contains(remedy), "{check:?}");
    assert!(!check.consequence.is_empty(), "{check:?}");
    assert_eq!(
        judge(&report).is_err(),
        severity == Severity::Missing,
        "{check:?}"
    );
}

#[test]
fn each_lack_has_its_own_finding() {
    use Severity::{Missing, Warning};
    only(
        |f| f.machine = "aarch64".into(),
        "architecture",
        Missing,
        "x86-64",
    );
    only(
        |f| {
            (f.bpf_loop, f.find_vma) = (Feature::Absent, Feature::Absent);
            f.kernel_release = "5.15.0-105-generic".into();
        },
        "stacks of threads",
        Warning,
        "5.17",
    );
    only(
        |f| f.kernel_release = "5.10.0-30".into(),
        "kernel",
        Warning,
        "5.15",
    );
    only(
        |f| f.bpf = BpfSyscall::Fails(libc::ENOSYS),
        "bpf() system call",
        Missing,
        "CONFIG_BPF_SYSCALL",
    );
    only(
        |f| f.bpf = BpfSyscall::Fails(libc::EPERM),
        "bpf() system call",
        Missing,
        "sudo",
    );
    only(
        |f| f.uprobe_pmu = None,
        "uprobes",
        Missing,
        "CONFIG_UPROBE_EVENTS",
    );
    only(
        |f| f.ring_buffer = Feature::Absent,
        "BPF ring buffer",
        Missing,
        "5.8",
    );
    only(
        |f| f.attach_cookie = Feature::Absent,
        "attach cookies",
        Missing,
        "5.15",
    );
    only(
        |f| (f.bpf_loop, f.map_loop) = (Feature::Absent, Feature::Absent),
        "BPF loops",
        Missing,
        "5.15",
    );
    only(
        |f| f.find_vma = Feature::Absent,
        "stacks of threads",
        Warning,
        "5.17",
    );
    only(
        |f| f.uprobe_multi = Feature::Absent,
        "uprobe_multi link",
        Warning,
        "6.6",
    );
    only(
        |f| f.btf = false,
        "kernel type information (BTF)",
        Warning,
        "CONFIG_DEBUG_INFO_BTF",
    );
}

#[test]
fn each_restriction_has_its_own_finding() {
    use Severity::{Missing, Warning};
    only(
        |f| f.lockdown = Some(Lockdown::Confidentiality),
        "lockdown",
        Missing,
        "lockdown=integrity",
    );
    only(
        |f| f.initial_user_namespace = Some(false),
        "user namespace",
        Missing,
        "--userns=host",
    );
    only(
        |f| f.initial_pid_namespace = Some(false),
        "PID namespace",
        Warning,
        "--pid=host",
    );
    only(
        |f| f.bpf_jit_enable = Some(0),
        "BPF JIT compiler",
        Warning,
        "bpf_jit_enable=1",
    );
    only(
        |f| f.kptr_restrict = Some(2),
        "kernel symbols",
        Warning,
        "kptr_restrict=1",
    );
    only(
        |f| f.unprivileged_bpf_disabled = Some(0),
        "unprivileged BPF",
        Warning,
        "unprivileged_bpf_disabled=2",
    );
}

#[test]
fn integrity_lockdown_and_a_permissive_seccomp_filter_are_fine() {
    let facts = HostFacts {
        lockdown: Some(Lockdown::Integrity),
        seccomp: Some(2),
        ..good()
    };
    assert_eq!(findings(&facts), []);
}

#[test]
fn a_seccomp_filter_that_refuses_bpf_is_named() {
    let facts = HostFacts {
        seccomp: Some(2),
        container: Some("docker".into()),
        bpf: BpfSyscall::Fails(libc::EPERM),
        ..good()
    };
    let report = evaluate(&facts);
    let refused = report
        .iter()
        .find(|check| check.name == "bpf() system call");
    assert!(refused.is_some_and(|check| check.remedy.contains("seccomp=unconfined")));
}

#[test]
fn locked_memory_matters_before_5_11_only() {
    let small = |release: &str| HostFacts {
        kernel_release: release.into(),
        effective_uid: 1000,
        capabilities: Some(1 << cap::BPF | 1 << cap::PERFMON | 1 << cap::SYS_PTRACE),
        memlock_bytes: Some(64 << 10),
        ..good()
    };
    let names = |facts: &HostFacts| {
        findings(facts)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&small("5.10.0")), ["kernel", "locked memory"]);
    assert_eq!(names(&small("5.17.0")), Vec::<&str>::new());
}

#[test]
fn kernel_versions() {
    for (release, version) in [
        ("6.18.44-fc-v669", Some((6, 18))),
        ("5.15.0-105-generic", Some((5, 15))),
        ("6.1", Some((6, 1))),
        ("7-rc1", None),
        ("", None),
        ("linux", None),
    ] {
        assert_eq!(kernel_version(release), version, "{release:?}");
    }
}

#[test]
fn proc_and_sys_formats() {
    assert_eq!(
        parse_lockdown("none [integrity] confidentiality\n"),
        Some(Lockdown::Integrity)
    );
    assert_eq!(
        parse_lockdown("[none] integrity confidentiality\n"),
        Some(Lockdown::None)
    );
    assert_eq!(parse_lockdown("garbage"), None);
    assert!(is_initial_id_map("         0          0 4294967295\n"));
    assert!(!is_initial_id_map("         0       1000          1\n"));
    let status = "Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t1\nCapEff:\t00000000a80425fb\n";
    assert_eq!(status_field(status, "Seccomp"), Some("2"));
    assert_eq!(status_field(status, "CapEff"), Some("00000000a80425fb"));
    assert_eq!(status_field(status, "Nothing"), None);
    assert_eq!(
        tracefs_mount("proc /proc proc rw 0 0\nt /sys/kernel/tracing tracefs rw 0 0\n"),
        Some("/sys/kernel/tracing".into())
    );
    assert_eq!(tracefs_mount("proc /proc proc rw 0 0\n"), None);
}

#[test]
fn reading_this_host_yields_a_report() {
    let facts = HostFacts::read();
    assert!(!facts.kernel_release.is_empty());
    assert!(facts.cpus > 0);
    assert!(evaluate(&facts).len() > 15);
}
