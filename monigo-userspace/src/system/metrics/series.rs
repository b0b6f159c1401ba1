//! Every series that is stored, exported and can be asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::service::{Metrics, Reading};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Topic {
    /// Goroutines, threads, processes, files.
    CoreStatistics,
    /// Shares of what there is.
    LoadStatistics,
    /// CPUs.
    CPUStatistics,
    /// Memory of host and service.
    MemoryStatistics,
    /// The heap of the language's runtime.
    MemoryProfile,
    /// Disk traffic.
    DiskIO,
    /// Network traffic.
    NetworkIO,
    /// Scores.
    OverallHealth,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 8] = [
        Self::CoreStatistics,
        Self::LoadStatistics,
        Self::CPUStatistics,
        Self::MemoryStatistics,
        Self::MemoryProfile,
        Self::DiskIO,
        Self::NetworkIO,
        Self::OverallHealth,
    ];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoreStatistics => "CoreStatistics",
            Self::LoadStatistics => "LoadStatistics",
            Self::CPUStatistics => "CPUStatistics",
            Self::MemoryStatistics => "MemoryStatistics",
            Self::MemoryProfile => "MemoryProfile",
            Self::DiskIO => "DiskIO",
            Self::NetworkIO => "NetworkIO",
            Self::OverallHealth => "OverallHealth",
        }
    }

    /// The topic of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A named series of values.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Name.
    pub name: &'static str,
    /// `percent`, `bytes`, `bytes per second`, `cores`, `ns` or `count`.
    pub unit: &'static str,
    /// What it belongs to.
    pub topic: Topic,
    /// One sentence.
    pub description: &'static str,
    /// Whether it only grows, until the process or host starts anew.
    pub counter: bool,
    /// Whether it is of the time between two looks.
    pub between_looks: bool,
    value: fn(&Metrics) -> Option<f64>,
}

impl Series {
    /// Its value, if it is known.
    pub fn value(&self, metrics: &Metrics) -> Option<f64> {
        (self.value)(metrics)
    }
}

/// The series of this name.
pub fn series(name: &str) -> Option<&'static Series> {
    SERIES.iter().find(|series| series.name == name)
}

/// Whether a series tells of the time between two looks.
pub fn is_between_looks(name: &str) -> bool {
    series(name).is_some_and(|series| series.between_looks)
}

/// Values of all series that are known.
pub fn readings(metrics: &Metrics, at_ns: i64) -> Vec<Reading> {
    SERIES
        .iter()
        .filter_map(|series| {
            Some(Reading {
                at_ns,
                name: series.name.to_owned(),
                value: series.value(metrics).filter(|value| value.is_finite())?,
            })
        })
        .collect()
}

/// A figure of the language's runtime.
fn record(metrics: &Metrics, name: &str) -> Option<f64> {
    let mut records = metrics.mem_stats_records.iter();
    records
        .find(|record| record.record_name == name)
        .map(|record| record.record_value)
}

const fn gauge(
    topic: Topic,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    value: fn(&Metrics) -> Option<f64>,
) -> Series {
    Series {
        name,
        unit,
        topic,
        description,
        counter: false,
        between_looks: false,
        value,
    }
}

/// A figure of the time between two looks.
const fn rate(
    topic: Topic,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    value: fn(&Metrics) -> Option<f64>,
) -> Series {
    Series {
        between_looks: true,
        ..gauge(topic, name, unit, description, value)
    }
}

const fn counter(
    topic: Topic,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    value: fn(&Metrics) -> Option<f64>,
) -> Series {
    Series {
        counter: true,
        ..gauge(topic, name, unit, description, value)
    }
}

use Topic::{
    CPUStatistics, CoreStatistics, DiskIO, LoadStatistics, MemoryProfile, MemoryStatistics,
    NetworkIO, OverallHealth,
};

/// All series, by topic.
#[rustfmt::skip]
pub const SERIES: &[Series] = &[
    gauge(CoreStatistics, "goroutines", "count", "Goroutines that are not dead; Go only.",
        |m| m.core_statistics.goroutines.map(|count| count as f64)),
    gauge(CoreStatistics, "threads", "count", "Threads of the traced processes.",
        |m| Some(m.core_statistics.threads as f64)),
    gauge(CoreStatistics, "processes", "count", "Traced processes that live.",
        |m| Some(m.core_statistics.processes as f64)),
    gauge(CoreStatistics, "open_files", "count", "Open file descriptors of the traced processes.",
        |m| m.core_statistics.open_files.map(|count| count as f64)),
    rate(LoadStatistics, "overall_load_of_service", "percent", "Half the CPU load and half the memory load of the service.",
        |m| Some(m.load_statistics.overall_load_of_service_percent)),
    rate(LoadStatistics, "service_cpu_load", "percent", "CPU time of the service, of the CPUs that it may use.",
        |m| Some(m.load_statistics.service_cpu_load_percent)),
    gauge(LoadStatistics, "service_memory_load", "percent", "Memory of the service, of what it may use.",
        |m| Some(m.load_statistics.service_memory_load_percent)),
    rate(LoadStatistics, "system_cpu_load", "percent", "CPU time of the host, of all its CPUs.",
        |m| Some(m.load_statistics.system_cpu_load_percent)),
    gauge(LoadStatistics, "system_memory_load", "percent", "Memory in use on the host.",
        |m| Some(m.load_statistics.system_memory_load_percent)),
    gauge(LoadStatistics, "system_disk_load", "percent", "Space in use on the file system of the target's executable.",
        |m| m.load_statistics.system_disk_load_percent),
    gauge(CPUStatistics, "total_cores", "cores", "Physical cores of the host.",
        |m| Some(f64::from(m.cpu_statistics.total_cores))),
    rate(CPUStatistics, "cores_used_by_service", "cores", "Mean number of CPUs that the service used.",
        |m| Some(m.cpu_statistics.cores_used_by_service)),
    rate(CPUStatistics, "cores_used_by_system", "cores", "Mean number of CPUs that the host used.",
        |m| Some(m.cpu_statistics.cores_used_by_system)),
    gauge(MemoryStatistics, "total_system_memory", "bytes", "Memory of the host.",
        |m| Some(m.memory_statistics.total_system_memory_bytes as f64)),
    gauge(MemoryStatistics, "memory_used_by_system", "bytes", "Memory of the host that is not available.",
        |m| Some(m.memory_statistics.memory_used_by_system_bytes as f64)),
    gauge(MemoryStatistics, "memory_used_by_service", "bytes", "Memory of the service: proportional where readable, else resident.",
        |m| Some(m.memory_statistics.memory_used_by_service_bytes as f64)),
    gauge(MemoryStatistics, "available_memory", "bytes", "Memory of the host that is available without swapping.",
        |m| Some(m.memory_statistics.available_memory_bytes as f64)),
    counter(MemoryStatistics, "gc_pause_duration", "ns", "Garbage collection pauses in total since the start; Go only.",
        |m| m.memory_statistics.gc_pause_total_ns.map(|ns| ns as f64)),
    gauge(MemoryStatistics, "stack_memory_usage", "bytes", "Stacks of goroutines in Go, else those of the initial threads.",
        |m| m.memory_statistics.stack_memory_usage_bytes.map(|bytes| bytes as f64)),
    gauge(MemoryProfile, "heap_alloc_by_service", "bytes", "Objects on the heap that are allocated and not freed; Go only.",
        |m| record(m, "HeapAlloc")),
    gauge(MemoryProfile, "heap_alloc_by_system", "bytes", "Memory that the heap has from the operating system; Go only.",
        |m| record(m, "HeapSys")),
    counter(MemoryProfile, "total_alloc_by_service", "bytes", "All that was ever allocated on the heap; Go only.",
        |m| record(m, "TotalAlloc")),
    gauge(MemoryProfile, "total_memory_by_os", "bytes", "Memory that the runtime has from the operating system; Go only.",
        |m| record(m, "Sys")),
    counter(DiskIO, "disk_read_bytes", "bytes", "Read from storage by the service, processes that ended included.",
        |m| m.disk_io.service.as_ref().map(|io| io.read_bytes as f64)),
    counter(DiskIO, "disk_written_bytes", "bytes", "Sent to storage by the service, processes that ended included.",
        |m| m.disk_io.service.as_ref().map(|io| io.written_bytes as f64)),
    rate(DiskIO, "disk_read_bytes_per_second", "bytes per second", "Rate at which the service reads from storage.",
        |m| m.disk_io.service.as_ref().map(|io| io.read_bytes_per_second)),
    rate(DiskIO, "disk_written_bytes_per_second", "bytes per second", "Rate at which the service writes to storage.",
        |m| m.disk_io.service.as_ref().map(|io| io.written_bytes_per_second)),
    rate(DiskIO, "system_disk_read_bytes_per_second", "bytes per second", "Rate at which the host reads from its block devices.",
        |m| m.disk_io.system.as_ref().map(|io| io.read_bytes_per_second)),
    rate(DiskIO, "system_disk_written_bytes_per_second", "bytes per second", "Rate at which the host writes to its block devices.",
        |m| m.disk_io.system.as_ref().map(|io| io.written_bytes_per_second)),
    counter(NetworkIO, "bytes_sent", "bytes", "Sent from the network namespaces of the service, without loopback.",
        |m| m.network_io.service.as_ref().map(|io| io.written_bytes as f64)),
    counter(NetworkIO, "bytes_received", "bytes", "Received in the network namespaces of the service, without loopback.",
        |m| m.network_io.service.as_ref().map(|io| io.read_bytes as f64)),
    rate(NetworkIO, "bytes_sent_per_second", "bytes per second", "Rate at which the network namespaces of the service send.",
        |m| m.network_io.service.as_ref().map(|io| io.written_bytes_per_second)),
    rate(NetworkIO, "bytes_received_per_second", "bytes per second", "Rate at which the network namespaces of the service receive.",
        |m| m.network_io.service.as_ref().map(|io| io.read_bytes_per_second)),
    rate(OverallHealth, "service_health_percent", "percent", "Score of the service.",
        |m| Some(m.health.service_health.percent)),
    rate(OverallHealth, "system_health_percent", "percent", "Score of the host.",
        |m| Some(m.health.system_health.percent)),
];
