//! Resources and health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One measured value of a named series, as stored and exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// Unix time in ns.
    pub at_ns: i64,
    /// Name of the series, for example `service_cpu_load` (see `system::metrics::SERIES`).
    pub name: String,
    /// Value, in the unit of the series.
    pub value: f64,
}

/// Everything about resources at one instant. `service` means the traced processes together, `system` the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// When it was read, RFC 3339 in UTC.
    pub time: String,
    /// Counts and age.
    pub core_statistics: CoreStatistics,
    /// Shares.
    pub load_statistics: LoadStatistics,
    /// CPU.
    pub cpu_statistics: CpuStatistics,
    /// Memory.
    pub memory_statistics: MemoryStatistics,
    /// Single figures of the runtime and of `/proc`, with descriptions.
    pub mem_stats_records: Vec<MemStatsRecord>,
    /// Disk traffic.
    pub disk_io: DiskIo,
    /// Network traffic.
    pub network_io: NetworkIo,
    /// Scores.
    pub health: HealthPair,
    /// What is missing, and why; one sentence each.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// Counts and age.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoreStatistics {
    /// Goroutines that are not dead; `None` when not Go, or not readable.
    pub goroutines: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// For people, for example `3h 12m`.
    pub uptime: String,
    /// Of the oldest process.
    pub uptime_seconds: f64,
}

/// Shares of what there is, in percent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadStatistics {
    /// CPU time of the service, of all CPUs it may use (cgroup quota and affinity included).
    pub service_cpu_load_percent: f64,
    /// CPU time of the host, of all its CPUs.
    pub system_cpu_load_percent: f64,
    /// Memory of the service, of what it may use (cgroup limit, else the host's memory).
    pub service_memory_load_percent: f64,
    /// Memory in use on the host.
    pub system_memory_load_percent: f64,
    /// min(100, ½ CPU + ½ memory) of the service.
    pub overall_load_of_service_percent: f64,
    /// Space in use on the file system of the target's executable.
    pub system_disk_load_percent: Option<f64>,
}

/// CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CpuStatistics {
    /// Physical cores.
    pub total_cores: u32,
    /// Logical CPUs.
    pub total_logical_cores: u32,
    /// CPUs that the service may use at a time: the least of cgroup quota, affinity and host.
    pub cores_limit: f64,
    /// Mean number of CPUs in use since the last look.
    pub cores_used_by_system: f64,
    /// The same of the service.
    pub cores_used_by_service: f64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryStatistics {
    /// Of the host.
    pub total_system_memory_bytes: u64,
    /// Total without available.
    pub memory_used_by_system_bytes: u64,
    /// Available to new work without swapping.
    pub available_memory_bytes: u64,
    /// Proportional set size where readable, else resident.
    pub memory_used_by_service_bytes: u64,
    /// cgroup limit; `None` for none.
    pub memory_limit_bytes: Option<u64>,
    /// Stacks of threads, and of goroutines in Go.
    pub stack_memory_usage_bytes: Option<u64>,
    /// Garbage collection pauses in total since the start; Go only.
    pub gc_pause_total_ns: Option<u64>,
    /// The last pause; Go only.
    pub gc_pause_last_ns: Option<u64>,
}

/// One figure with its meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemStatsRecord {
    /// Name.
    pub record_name: String,
    /// One sentence.
    pub record_description: String,
    /// Value.
    pub record_value: f64,
    /// `bytes`, `count`, `ns`, `percent`.
    pub record_unit: String,
}

/// Traffic of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IoFigures {
    /// Since the process or host started.
    pub read_bytes: u64,
    /// Since the process or host started.
    pub written_bytes: u64,
    /// Since the last look.
    pub read_bytes_per_second: f64,
    /// Since the last look.
    pub written_bytes_per_second: f64,
    /// What the figures cover, for example `processes 4711, 4712` or `network namespace of process 4711`.
    pub covers: String,
}

/// Disk traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskIo {
    /// `None` where `/proc/PID/io` may not be read.
    pub service: Option<IoFigures>,
    /// Of the host's block devices.
    pub system: Option<IoFigures>,
}

/// Network traffic; read means received, written means sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkIo {
    /// Of the processes themselves where the kernel tells, else of their network namespace; `covers` says which.
    pub service: Option<IoFigures>,
    /// Of the host's interfaces but loopback.
    pub system: Option<IoFigures>,
}

/// Scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthPair {
    /// Of the host.
    pub system_health: Health,
    /// Of the service.
    pub service_health: Health,
}

/// A score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// 0 to 100.
    pub percent: f64,
    /// No limit is exceeded and the score is above 50.
    pub healthy: bool,
    /// `Excellent`, `Good`, `Satisfactory`, `Fair`, `Poor` or `Critical`.
    pub message: String,
    /// Which resource, and by how much.
    pub icon_msg: String,
    /// Limits that are exceeded, one sentence each.
    pub breaches: Vec<String>,
}
