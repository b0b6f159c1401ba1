//! The service of a recording that is read from its database.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{
    CoreStatistics, CpuStatistics, DiskIo, ExporterStatus, Health, HealthPair, IoFigures,
    LoadStatistics, MemStatsRecord, MemoryStatistics, Metrics, NetworkIo, Routines, Service,
    ServiceError, ServiceInfo,
};
use crate::{
    query::{Overview, ReadingsQuestion, Source, Window},
    symbols::Language,
    system::{
        health::{HEALTHY_ABOVE, band},
        metrics::{rfc3339, series},
    },
};

/// Readings older than this before the end say nothing about the end, ns.
const LATELY_NS: i64 = 60_000_000_000;
/// Figures of a runtime's heap: name of the series, and of the record.
const HEAP: [(&str, &str); 4] = [
    ("heap_alloc_by_service", "HeapAlloc"),
    ("heap_alloc_by_system", "HeapSys"),
    ("total_alloc_by_service", "TotalAlloc"),
    ("total_memory_by_os", "Sys"),
];

/// Answers with what was stored last. A recording that another monigo is writing is read through
/// that one.
pub struct Recorded {
    source: Arc<dyn Source>,
}

impl Recorded {
    /// Of the session that `source` reads.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }

    fn overview(&self) -> Result<Overview, ServiceError> {
        self.source
            .overview()
            .map_err(|error| ServiceError::Failed(error.to_string()))
    }

    /// The last value of each series, and when that was.
    fn last(&self, overview: &Overview) -> Result<(i64, BTreeMap<String, f64>), ServiceError> {
        let end = overview.ended_ns.or(overview.last_flush_ns);
        let end = end.unwrap_or(overview.started_ns);
        let question = ReadingsQuestion {
            names: Vec::new(),
            window: Window {
                from_ns: Some(end.saturating_sub(LATELY_NS)),
                to_ns: None,
            },
            points: 60,
        };
        let points = self
            .source
            .readings(&question)
            .map_err(|error| ServiceError::Failed(error.to_string()))?;
        let mut last = BTreeMap::new();
        let mut at_ns = None;
        for point in points {
            at_ns = Some(point.at_ns);
            last.extend(point.values);
        }
        at_ns.map(|at_ns| (at_ns, last)).ok_or_else(|| {
            ServiceError::Unavailable(
                "this recording has no figures of the service and the host; record again, for longer than a second".to_owned(),
            )
        })
    }
}

impl Service for Recorded {
    fn info(&self) -> ServiceInfo {
        let Ok(overview) = self.overview() else {
            return ServiceInfo::default();
        };
        let storage = self.source.storage().unwrap_or_default();
        let file = Path::new(&overview.target).file_name().unwrap_or_default();
        ServiceInfo {
            service_name: file.to_string_lossy().into_owned(),
            service_start_time: rfc3339(overview.started_ns),
            go_version: overview
                .runtime_version
                .clone()
                .filter(|_| overview.language == Language::Go),
            runtime_version: overview.runtime_version,
            retention_period: overview.retention.unwrap_or_default(),
            language: overview.language.name().to_owned(),
            process_id: overview.pids.first().copied(),
            process_ids: overview.pids,
            storage_type: super::storage_type(storage).to_owned(),
            storage_on_disk_bytes: storage.on_disk_bytes,
            host: overview.host,
            monigo_version: overview.monigo_version,
            ..ServiceInfo::default()
        }
    }

    fn metrics(&self) -> Result<Metrics, ServiceError> {
        let (at_ns, last) = self.last(&self.overview()?)?;
        Ok(metrics(at_ns, &last))
    }

    fn routines(&self) -> Result<Routines, ServiceError> {
        Err(ServiceError::Unavailable(
            "goroutines and threads are not stored; ask the monigo that records them, while it does"
                .to_owned(),
        ))
    }

    fn exporters(&self) -> Vec<ExporterStatus> {
        Vec::new()
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

/// Figures from stored series. What is not stored stays 0 or empty.
fn metrics(at_ns: i64, last: &BTreeMap<String, f64>) -> Metrics {
    let known = |name: &str| last.get(name).copied();
    let value = |name: &str| known(name).unwrap_or(0.0);
    let whole = |name: &str| known(name).map(|value| value.max(0.0).round() as u64);
    let health = |name: &str| {
        let percent = value(name);
        Health {
            percent,
            healthy: percent > HEALTHY_ABOVE,
            message: known(name).map_or("", band).to_owned(),
            ..Health::default()
        }
    };
    let total_memory = whole("total_system_memory").unwrap_or(0);
    let threads = whole("threads").unwrap_or(0);
    Metrics {
        time: rfc3339(at_ns),
        core_statistics: CoreStatistics {
            goroutines: whole("goroutines"),
            threads,
            processes: whole("processes").unwrap_or(0),
            open_files: whole("open_files"),
            ..CoreStatistics::default()
        },
        load_statistics: LoadStatistics {
            service_cpu_load_percent: value("service_cpu_load"),
            system_cpu_load_percent: value("system_cpu_load"),
            service_memory_load_percent: value("service_memory_load"),
            system_memory_load_percent: value("system_memory_load"),
            overall_load_of_service_percent: value("overall_load_of_service"),
            system_disk_load_percent: known("system_disk_load"),
        },
        cpu_statistics: CpuStatistics {
            total_cores: value("total_cores") as u32,
            cores_used_by_system: value("cores_used_by_system"),
            cores_used_by_service: value("cores_used_by_service"),
            ..CpuStatistics::default()
        },
        memory_statistics: MemoryStatistics {
            total_system_memory_bytes: total_memory,
            memory_used_by_system_bytes: whole("memory_used_by_system").unwrap_or(0),
            available_memory_bytes: whole("available_memory").unwrap_or(0),
            memory_used_by_service_bytes: whole("memory_used_by_service").unwrap_or(0),
            memory_limit_bytes: None,
            stack_memory_usage_bytes: whole("stack_memory_usage"),
            gc_pause_total_ns: whole("gc_pause_duration"),
            gc_pause_last_ns: None,
        },
        mem_stats_records: heap_records(last),
        disk_io: DiskIo {
            service: traffic(
                last,
                [
                    "disk_read_bytes",
                    "disk_written_bytes",
                    "disk_read_bytes_per_second",
                    "disk_written_bytes_per_second",
                ],
            ),
            system: None,
        },
        network_io: NetworkIo {
            service: traffic(
                last,
                [
                    "bytes_received",
                    "bytes_sent",
                    "bytes_received_per_second",
                    "bytes_sent_per_second",
                ],
            ),
            system: None,
        },
        health: HealthPair {
            system_health: health("system_health_percent"),
            service_health: health("service_health_percent"),
        },
        remarks: vec![
            "these are the last figures that were stored; limits and what was not stored are missing"
                .to_owned(),
        ],
    }
}

fn heap_records(last: &BTreeMap<String, f64>) -> Vec<MemStatsRecord> {
    let records = HEAP.iter().filter_map(|(name, record)| {
        let series = series(name)?;
        Some(MemStatsRecord {
            record_name: (*record).to_owned(),
            record_description: series.description.to_owned(),
            record_value: *last.get(*name)?,
            record_unit: series.unit.to_owned(),
        })
    });
    records.collect()
}

/// Bytes in, bytes out, and both by second.
fn traffic(last: &BTreeMap<String, f64>, names: [&str; 4]) -> Option<IoFigures> {
    let [read, written, read_rate, written_rate] = names.map(|name| last.get(name).copied());
    let description = series(names[0]).map_or("", |series| series.description);
    Some(IoFigures {
        read_bytes: read? as u64,
        written_bytes: written? as u64,
        read_bytes_per_second: read_rate.unwrap_or(0.0),
        written_bytes_per_second: written_rate.unwrap_or(0.0),
        covers: description.trim_end_matches('.').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::metrics::{SERIES, readings};

    /// Whatever is stored is shown again.
    #[test]
    fn stored_series_read_back() {
        let mut last: BTreeMap<String, f64> = (0_u32..)
            .zip(SERIES)
            .map(|(value, series)| (series.name.to_owned(), f64::from(value)))
            .collect();
        let metrics = metrics(1_000_000_000, &last);
        // The host's disks are shown over time only.
        last.retain(|name, _| !name.starts_with("system_disk_") || name == "system_disk_load");
        let again = readings(&metrics, 0).into_iter();
        let again: BTreeMap<String, f64> = again.map(|r| (r.name, r.value)).collect();
        assert_eq!(again, last);
        assert_eq!(metrics.time, "1970-01-01T00:00:01.000Z");
    }
}
