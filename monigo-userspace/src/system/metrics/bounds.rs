//! What several processes may use together.

use std::collections::BTreeMap;

use super::ProcessLook;

/// CPUs that the processes may use together.
pub(super) fn cpu_limit(processes: &BTreeMap<u32, ProcessLook>, cpus: f64) -> f64 {
    let mut groups: BTreeMap<&str, f64> = BTreeMap::new();
    let mut limited = !processes.is_empty();
    for process in processes.values() {
        match process.limits.quota_cpus {
            Some(quota) => {
                groups.insert(&process.limits.quota_group, quota);
            }
            None => limited = false,
        }
    }
    let quota = if limited { groups.values().sum() } else { cpus };
    // Sets of CPUs may overlap; the largest is a bound that is never too high for one process.
    let allowed = processes
        .values()
        .map(|process| process.limits.allowed_cpus.map_or(cpus, f64::from))
        .reduce(f64::max)
        .unwrap_or(cpus);
    quota.min(allowed).min(cpus)
}

/// Bytes that the processes may use together; `None` if one of them has no limit.
pub(super) fn memory_limit(processes: &BTreeMap<u32, ProcessLook>) -> Option<u64> {
    let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
    for process in processes.values() {
        groups.insert(&process.limits.memory_group, process.limits.memory_bytes?);
    }
    (!groups.is_empty()).then(|| {
        groups
            .values()
            .fold(0, |sum: u64, b| sum.saturating_add(*b))
    })
}
