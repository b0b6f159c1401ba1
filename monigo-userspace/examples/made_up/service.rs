//! A made-up service around the made-up calls: waves of load, a leak, a receiver that is away.

use std::{
    f64::consts::TAU,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use monigo::service::{
    CoreStatistics, CpuStatistics, DiskIo, ExporterState, ExporterStatus, Health, HealthPair,
    IoFigures, LoadStatistics, MemStatsRecord, MemoryStatistics, Metrics, NetworkIo, RoutineGroup,
    RoutineKind, Routines, Service, ServiceError, ServiceInfo,
};
use serde_json::{Value, json};

const MIB: f64 = 1_048_576.0;

/// The service.
pub struct MadeUp {
    /// When it started, Unix time in ns.
    pub started_ns: i64,
    /// Nothing runs any more.
    pub over: bool,
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}

fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into())
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

/// Around 1, with the period in s.
fn wave(ns: i64, period: f64, swing: f64) -> f64 {
    1.0 + swing * (ns as f64 / 1e9 * TAU / period).sin()
}

fn health(load: f64, about: &str) -> Health {
    Health {
        percent: 100.0 - load,
        healthy: load < 50.0,
        message: if load < 30.0 { "Satisfactory" } else { "Fair" }.to_owned(),
        icon_msg: format!("{about} usage is within limits: CPU Usage {load:.0}% / 95%"),
        breaches: Vec::new(),
    }
}

/// Traffic that flows at these mean rates since the start.
fn io(at_ns: i64, age_seconds: f64, read: f64, written: f64, covers: &str) -> IoFigures {
    IoFigures {
        read_bytes: (read * age_seconds.max(0.0)) as u64,
        written_bytes: (written * age_seconds.max(0.0)) as u64,
        read_bytes_per_second: read * wave(at_ns, 31.0, 0.5),
        written_bytes_per_second: written * wave(at_ns, 37.0, 0.4),
        covers: covers.to_owned(),
    }
}

fn records(memory: f64) -> Vec<MemStatsRecord> {
    [
        (
            "HeapAlloc",
            "Objects on the heap that are allocated and not freed.",
            memory * 0.4,
            "bytes",
        ),
        (
            "HeapSys",
            "Memory that the heap has from the operating system.",
            memory * 0.7,
            "bytes",
        ),
        ("NumGC", "Garbage collections that ended.", 1412.0, "count"),
        (
            "PauseTotalNs",
            "Garbage collection pauses since the start.",
            81_200_000.0,
            "ns",
        ),
    ]
    .map(|(name, description, value, unit)| MemStatsRecord {
        record_name: name.to_owned(),
        record_description: description.to_owned(),
        record_value: value,
        record_unit: unit.to_owned(),
    })
    .into()
}

/// All figures at one time, also of the past.
pub(super) fn metrics_at(at_ns: i64, started_ns: i64) -> Metrics {
    let cores = 0.74 * wave(at_ns, 47.0, 0.3);
    let memory = 188.0 * MIB * wave(at_ns, 211.0, 0.12);
    let (cpu_load, memory_load) = (cores / 2.0 * 100.0, memory / (512.0 * MIB) * 100.0);
    let (host_cpu, host_memory) = (
        52.0 * wave(at_ns, 61.0, 0.2),
        63.0 * wave(at_ns, 397.0, 0.05),
    );
    let age_seconds = (at_ns - started_ns) as f64 / 1e9;
    let io = |read, written, covers| Some(io(at_ns, age_seconds, read, written, covers));
    Metrics {
        remarks: Vec::new(),
        time: rfc3339(at_ns),
        core_statistics: CoreStatistics {
            goroutines: Some((170.0 * wave(at_ns, 83.0, 0.2) + age_seconds / 20.0) as u64),
            threads: 14,
            processes: 2,
            open_files: Some((87.0 * wave(at_ns, 29.0, 0.1)) as u64),
            uptime: "1d 09h".to_owned(),
            uptime_seconds: 118_800.0 + age_seconds,
        },
        load_statistics: LoadStatistics {
            service_cpu_load_percent: cpu_load,
            system_cpu_load_percent: host_cpu,
            service_memory_load_percent: memory_load,
            system_memory_load_percent: host_memory,
            overall_load_of_service_percent: f64::midpoint(cpu_load, memory_load),
            system_disk_load_percent: Some(71.0),
        },
        cpu_statistics: CpuStatistics {
            total_cores: 4,
            total_logical_cores: 8,
            cores_limit: 2.0,
            cores_used_by_system: host_cpu * 0.08,
            cores_used_by_service: cores,
        },
        memory_statistics: MemoryStatistics {
            total_system_memory_bytes: 16 << 30,
            memory_used_by_system_bytes: (host_memory / 100.0 * 16384.0 * MIB) as u64,
            available_memory_bytes: ((100.0 - host_memory) / 100.0 * 16384.0 * MIB) as u64,
            memory_used_by_service_bytes: memory as u64,
            memory_limit_bytes: Some(512 << 20),
            stack_memory_usage_bytes: Some((1.4 * MIB) as u64),
            gc_pause_total_ns: Some(81_200_000),
            gc_pause_last_ns: Some(92_000),
        },
        mem_stats_records: records(memory),
        disk_io: DiskIo {
            service: io(2_048.0, 18_432.0, "processes 4242, 4377"),
            system: io(81_920.0, 409_600.0, "block devices of the host"),
        },
        network_io: NetworkIo {
            service: io(212_992.0, 655_360.0, "network namespace of process 4242"),
            system: None,
        },
        health: HealthPair {
            system_health: health(f64::midpoint(host_cpu, host_memory) * 0.6, "System"),
            service_health: health(f64::midpoint(cpu_load, memory_load) * 0.7, "Service"),
        },
    }
}

impl Service for MadeUp {
    fn info(&self) -> ServiceInfo {
        let pids = if self.over {
            Vec::new()
        } else {
            vec![4242, 4377]
        };
        ServiceInfo {
            service_name: "orders".to_owned(),
            service_start_time: rfc3339(self.started_ns - 118_800_000_000_000),
            language: "go".to_owned(),
            runtime_version: Some("go1.24.11".to_owned()),
            go_version: Some("go1.24.11".to_owned()),
            process_id: pids.first().copied(),
            process_ids: pids,
            retention_period: "7d".to_owned(),
            storage_type: "disk".to_owned(),
            storage_on_disk_bytes: Some(48_234_496),
            host: "shop-7".to_owned(),
            monigo_version: env!("CARGO_PKG_VERSION").to_owned(),
            time_zone: None,
        }
    }

    fn metrics(&self) -> Result<Metrics, ServiceError> {
        Ok(metrics_at(now_ns(), self.started_ns))
    }

    fn routines(&self) -> Result<Routines, ServiceError> {
        if self.over {
            return Err(ServiceError::Unavailable(
                "this recording is over; goroutines are read from a process that runs".to_owned(),
            ));
        }
        let count = self.metrics()?.core_statistics.goroutines.unwrap_or(0);
        let group =
            |signature: &str, count: u64, state: &str, reason: &str, stack: &[&str]| RoutineGroup {
                signature: signature.to_owned(),
                state: state.to_owned(),
                wait_reason: reason.to_owned(),
                count,
                blocked_minutes: None,
                growth: 0,
                stale: false,
                growing: false,
                call_stack: stack.iter().map(|frame| (*frame).to_owned()).collect(),
                created_by: "main.main order/main.go:33".to_owned(),
                ids: (0..count.min(20)).map(|index| 18 + index * 3).collect(),
                names: Vec::new(),
            };
        let leak = RoutineGroup {
            blocked_minutes: Some(47),
            growth: 96,
            stale: true,
            growing: true,
            ..group(
                "9f31c0aa",
                count.saturating_sub(72),
                "waiting",
                "chan receive",
                &[
                    "runtime.gopark runtime/proc.go:435",
                    "runtime.chanrecv runtime/chan.go:664",
                    "main.(*Mailer).deliver order/mail.go:88",
                    "main.(*Mailer).run order/mail.go:41",
                ],
            )
        };
        Ok(Routines {
            kind: RoutineKind::Goroutines,
            time: rfc3339(now_ns()),
            number_of_goroutines: count,
            remarks: Vec::new(),
            groups: vec![
                leak,
                group(
                    "12ab34cd",
                    60,
                    "waiting",
                    "IO wait",
                    &[
                        "internal/poll.runtime_pollWait runtime/netpoll.go:351",
                        "net.(*conn).Read net/net.go:194",
                        "net/http.(*conn).serve net/http/server.go:2044",
                    ],
                ),
                group(
                    "00c0ffee",
                    8,
                    "waiting",
                    "sync.Mutex.Lock",
                    &[
                        "sync.(*Mutex).Lock sync/mutex.go:90",
                        "main.(*Inventory).lockShelf order/inventory.go:77",
                    ],
                ),
                group(
                    "beef0002",
                    4,
                    "running",
                    "",
                    &["main.priceOf order/price.go:9"],
                ),
            ],
        })
    }

    fn exporters(&self) -> Vec<ExporterStatus> {
        let status = |name: &str, endpoint: &str, state, dropped| ExporterStatus {
            name: name.to_owned(),
            endpoint: endpoint.to_owned(),
            state,
            sent: 184_212,
            dropped,
            queued: 12,
            last_success: Some(rfc3339(now_ns() - 2_000_000_000)),
            last_error: None,
            last_error_time: None,
        };
        vec![
            status(
                "otlp",
                "https://collector.example:4317",
                ExporterState::Ok,
                0,
            ),
            ExporterStatus {
                last_error: Some("hooks.example refused the connection".to_owned()),
                last_error_time: Some(rfc3339(now_ns() - 31_000_000_000)),
                ..status(
                    "webhook",
                    "https://hooks.example/monigo",
                    ExporterState::Open,
                    17,
                )
            },
        ]
    }

    fn settings(&self) -> Value {
        let leaf = |value: Value, source: &str| json!({"value": value, "source": source});
        json!({
            "service": {"name": leaf(json!("orders"), "file"), "time_zone": leaf(Value::Null, "default")},
            "listen": {"address": leaf(json!("127.0.0.1"), "default"), "port": leaf(json!(8080), "flag")},
            "storage": {"retention": leaf(json!("7d"), "default"), "max_size": leaf(json!("2GiB"), "file")},
            "health": {"max_cpu": leaf(json!(95), "default"), "max_goroutines": leaf(json!(1000), "environment")},
        })
    }
}
