//! Names of series, until `system::metrics` has them.

pub struct Series {
    pub name: &'static str,
    pub topic: Topic,
}
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    CoreStatistics,
    LoadStatistics,
    CPUStatistics,
    MemoryStatistics,
    MemoryProfile,
    DiskIO,
    NetworkIO,
    OverallHealth,
}
const fn s(name: &'static str, topic: Topic) -> Series {
    Series { name, topic }
}
pub const SERIES: [Series; 2] = [
    s("service_cpu_load", Topic::LoadStatistics),
    s("service_memory_load", Topic::LoadStatistics),
];
