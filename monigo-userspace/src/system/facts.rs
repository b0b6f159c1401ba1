//! Reading the host: `/proc`, `/sys`, and a few harmless `bpf()` calls.

mod uprobe_multi;

pub(crate) use self::uprobe_multi::probe as probe_uprobe_multi;

use std::{
    fs,
    path::{Path, PathBuf},
};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported},
};

/// Answer to the question whether the kernel has a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feature {
    /// It has.
    Present,
    /// It has not.
    Absent,
    /// The question could not be asked (no permission, most of the time).
    #[default]
    Unknown,
}

impl From<Option<bool>> for Feature {
    fn from(answer: Option<bool>) -> Self {
        match answer {
            Some(true) => Self::Present,
            Some(false) => Self::Absent,
            None => Self::Unknown,
        }
    }
}

/// What came of trying the `bpf()` system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BpfSyscall {
    /// A map could be created.
    Works,
    /// It failed with this `errno`.
    Fails(i32),
    /// Not tried, or failed without an `errno`.
    #[default]
    Unknown,
}

/// Kernel lockdown mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Off.
    None,
    /// Unsigned code may not enter the kernel; BPF still works.
    Integrity,
    /// Nothing may be read out of the kernel; BPF that reads memory does not work.
    Confidentiality,
}

/// Capability numbers of `linux/capability.h`.
pub mod cap {
    /// Trace any process.
    pub const SYS_PTRACE: u32 = 19;
    /// Almost everything; includes `BPF` and `PERFMON`.
    pub const SYS_ADMIN: u32 = 21;
    /// Raise limits.
    pub const SYS_RESOURCE: u32 = 24;
    /// Performance monitoring: uprobes (Linux 5.8).
    pub const PERFMON: u32 = 38;
    /// Load BPF programs (Linux 5.8).
    pub const BPF: u32 = 39;
}

/// Everything the checks look at. `None` means: not readable here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -m`.
    pub machine: String,
    /// CPUs this process may run on.
    pub cpus: usize,
    /// Effective user.
    pub effective_uid: u32,
    /// Effective capability set, as a bit mask.
    pub capabilities: Option<u64>,
    /// This process lives in the initial user namespace.
    pub initial_user_namespace: Option<bool>,
    /// This process lives in the initial PID namespace.
    pub initial_pid_namespace: Option<bool>,
    /// `/sys/kernel/btf/vmlinux` is there.
    pub btf: bool,
    /// Type number of the uprobe PMU.
    pub uprobe_pmu: Option<u32>,
    /// The `bpf()` system call.
    pub bpf: BpfSyscall,
    /// Ring buffer maps (5.8).
    pub ring_buffer: Feature,
    /// `bpf_loop` (5.17).
    pub bpf_loop: Feature,
    /// `bpf_for_each_map_elem` (5.13), which can stand for it.
    pub map_loop: Feature,
    /// `bpf_find_vma` (5.17).
    pub find_vma: Feature,
    /// `bpf_get_attach_cookie` for uprobes (5.15).
    pub attach_cookie: Feature,
    /// One link for many uprobes (6.6).
    pub uprobe_multi: Feature,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i64>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<i64>,
    /// `net.core.bpf_jit_enable`.
    pub bpf_jit_enable: Option<i64>,
    /// Lockdown; `None` also if the kernel is built without it.
    pub lockdown: Option<Lockdown>,
    /// `Seccomp:` of `/proc/self/status` (0 off, 1 strict, 2 filter).
    pub seccomp: Option<u32>,
    /// Kind of container this process seems to be in.
    pub container: Option<String>,
    /// Soft limit of locked memory, bytes; `None` is unlimited.
    pub memlock_bytes: Option<u64>,
    /// Where tracefs is mounted.
    pub tracefs: Option<PathBuf>,
}

impl HostFacts {
    /// Reads them all. Never fails: what cannot be read is left unknown.
    pub fn read() -> Self {
        let uname = nix::sys::utsname::uname().ok();
        let field = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            uname
                .as_ref()
                .map(|uname| get(uname).to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bpf = probe_bpf_syscall();
        let feature = |probe: fn() -> Feature| match bpf {
            BpfSyscall::Works => probe(),
            _ => Feature::Unknown,
        };
        Self {
            kernel_release: field(nix::sys::utsname::UtsName::release),
            machine: field(nix::sys::utsname::UtsName::machine),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            effective_uid: nix::unistd::geteuid().as_raw(),
            capabilities: status_field(&status, "CapEff")
                .and_then(|mask| u64::from_str_radix(mask, 16).ok()),
            initial_user_namespace: fs::read_to_string("/proc/self/uid_map")
                .ok()
                .map(|map| is_initial_id_map(&map)),
            initial_pid_namespace: is_in_initial_pid_namespace(),
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            uprobe_pmu: number("/sys/bus/event_source/devices/uprobe/type")
                .and_then(|pmu| u32::try_from(pmu).ok()),
            bpf,
            ring_buffer: feature(|| is_map_supported(MapType::RingBuf).ok().into()),
            attach_cookie: feature(|| helper(BpfHelper::BPF_FUNC_get_attach_cookie)),
            bpf_loop: feature(|| helper(BpfHelper::BPF_FUNC_loop)),
            map_loop: feature(|| helper(BpfHelper::BPF_FUNC_for_each_map_elem)),
            find_vma: feature(|| helper(BpfHelper::BPF_FUNC_find_vma)),
            uprobe_multi: feature(uprobe_multi::probe),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            kptr_restrict: number("/proc/sys/kernel/kptr_restrict"),
            bpf_jit_enable: number("/proc/sys/net/core/bpf_jit_enable"),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
                .ok()
                .and_then(|text| parse_lockdown(&text)),
            seccomp: status_field(&status, "Seccomp").and_then(|mode| mode.parse().ok()),
            container: container(),
            memlock_bytes: memlock_bytes(),
            tracefs: fs::read_to_string("/proc/self/mounts")
                .ok()
                .and_then(|mounts| tracefs_mount(&mounts)),
        }
    }
}

/// Whether programs for probes may call a helper.
fn helper(helper: BpfHelper) -> Feature {
    is_helper_supported(ProgramType::KProbe, helper).ok().into()
}

/// Inode of the first PID namespace: `PROC_PID_INIT_INO`.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether this process is in the host's PID namespace; `None` when `/proc` does not say.
pub fn is_in_initial_pid_namespace() -> Option<bool> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link == Path::new(INITIAL_PID_NAMESPACE))
}

fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Value of one line of `/proc/PID/status`.
pub(super) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The initial user namespace maps every id to itself.
pub(super) fn is_initial_id_map(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Parses `none [integrity] confidentiality`: the brackets mark the mode.
pub(super) fn parse_lockdown(text: &str) -> Option<Lockdown> {
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    match mode {
        "none" => Some(Lockdown::None),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

/// First mount point of type tracefs, or the one inside debugfs.
pub(super) fn tracefs_mount(mounts: &str) -> Option<PathBuf> {
    mounts
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&"tracefs"))
        .and_then(|fields| fields.get(1).map(PathBuf::from))
}

fn container() -> Option<String> {
    for (file, name) in [
        ("/run/.containerenv", "podman"),
        ("/.dockerenv", "docker"),
        ("/var/run/secrets/kubernetes.io", "kubernetes"),
    ] {
        if Path::new(file).exists() {
            return Some(name.to_owned());
        }
    }
    // systemd and LXC say so in the environment of their first process.
    let environment = fs::read("/proc/1/environ").ok()?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"container="))
        .map(|name| String::from_utf8_lossy(name).into_owned())
}

fn memlock_bytes() -> Option<u64> {
    let (soft, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK).ok()?;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}

/// Tries to create the smallest map there is.
fn probe_bpf_syscall() -> BpfSyscall {
    // `is_map_supported` turns EINVAL into `false`; an array map is as old as maps are.
    match is_map_supported(MapType::Array) {
        Ok(true) => BpfSyscall::Works,
        Ok(false) => BpfSyscall::Fails(libc::EINVAL),
        Err(error) => error
            .io_error
            .raw_os_error()
            .map_or(BpfSyscall::Unknown, BpfSyscall::Fails),
    }
}
