//! What is read at one instant. Counters only; [`super::differ`] makes rates of them.

use nix::time::{ClockId, clock_gettime};

use crate::symbols::ImageId;

/// Bytes since the process or host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read, or received.
    pub read_bytes: u64,
    /// Written, or sent.
    pub written_bytes: u64,
}

impl Traffic {
    /// What was added since `before`; a counter that fell began anew.
    pub(super) fn since(self, before: Self) -> Self {
        let added = |now: u64, before: u64| if now < before { now } else { now - before };
        Self {
            read_bytes: added(self.read_bytes, before.read_bytes),
            written_bytes: added(self.written_bytes, before.written_bytes),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
        }
    }
}

/// What a process may use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// CPUs at a time, by the quota of its cgroups.
    pub quota_cpus: Option<f64>,
    /// CPUs that it may run on.
    pub allowed_cpus: Option<u32>,
    /// Bytes, by its cgroups.
    pub memory_bytes: Option<u64>,
    /// Which cgroup sets each limit, so that processes that share one count it once.
    pub quota_group: String,
    /// The same of the memory.
    pub memory_group: String,
}

/// Traffic of a network namespace without its loopback interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkLook {
    /// Number of the namespace.
    pub namespace: u64,
    /// Its traffic.
    pub traffic: Traffic,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessLook {
    /// Since the host started, in ns: which process it is, together with its id.
    pub started_ns: u64,
    /// What it runs.
    pub executable: Option<ImageId>,
    /// CPU time of all its threads, ns.
    pub cpu_ns: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// The same, with pages that several processes share divided among them.
    pub proportional_bytes: Option<u64>,
    /// Stack of the initial thread, bytes.
    pub stack_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// Disk traffic, if it may be read.
    pub disk: Option<Traffic>,
    /// Network traffic of its namespace, if it may be read.
    pub network: Option<NetworkLook>,
    /// What it may use.
    pub limits: Limits,
}

/// The host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostLook {
    /// Physical cores.
    pub cores: u32,
    /// Logical CPUs that are on.
    pub cpus: u32,
    /// Time in which CPUs did something, of all CPUs, ns.
    pub busy_ns: u64,
    /// Time in which they had nothing to do, ns.
    pub idle_ns: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Available without swapping, bytes.
    pub available_bytes: u64,
    /// Of the block devices.
    pub disk: Option<Traffic>,
    /// Of the network namespace that monigo is in.
    pub network: Option<NetworkLook>,
    /// Share in use of the file system that holds the executable of the first process, percent.
    pub disk_load_percent: Option<f64>,
}

/// Reads counters.
pub trait Look: Send {
    /// Time since the host started, suspended or not, ns. Differences are taken of this one, since
    /// nobody sets it.
    fn boot_ns(&mut self) -> u64;
    /// Unix time in ns, which may step.
    fn unix_ns(&mut self) -> i64;
    /// A process; `None` when there is none any more.
    fn process(&mut self, pid: u32) -> Option<ProcessLook>;
    /// The host. `first` is a process of the service.
    fn host(&mut self, first: Option<u32>) -> HostLook;
}

/// Time since the host started, ns.
pub(super) fn boot_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
