//! Metrics of the service's processes, the host, and monigo itself.

use super::{Family, Kind, Point};
use crate::{
    query::{QueryError, Source},
    service::{ExporterState, ExporterStatus, Health, IoFigures, Metrics, Service},
};

pub(super) fn families(
    source: &dyn Source,
    service: &dyn Service,
) -> Result<Vec<Family>, QueryError> {
    let mut all = match service.metrics() {
        Ok(metrics) => resources(&metrics),
        Err(error) => {
            tracing::debug!(%error, "no figures of the service");
            Vec::new()
        }
    };
    all.extend(own(source, service)?);
    all.extend(exporters(&service.exporters()));
    Ok(all)
}

/// A gauge with a series for the service and one for the host.
fn pair(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    service: Option<f64>,
    system: Option<f64>,
) -> Family {
    let scoped = |scope: &str, value| Point::number(vec![("scope", scope.to_owned())], value);
    let points = [
        service.map(|value| scoped("service", value)),
        system.map(|value| scoped("system", value)),
    ];
    let points = points.into_iter().flatten().collect();
    Family::new(Kind::Gauge, name, unit, help, points)
}

fn one(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    value: Option<f64>,
) -> Family {
    let points = value.map(|value| Point::number(Vec::new(), value));
    Family::new(kind, name, unit, help, points.into_iter().collect())
}

fn resources(metrics: &Metrics) -> Vec<Family> {
    let (core, load) = (&metrics.core_statistics, &metrics.load_statistics);
    let (cpu, memory) = (&metrics.cpu_statistics, &metrics.memory_statistics);
    let ratio = |percent: f64| Some(percent / 100.0);
    let bytes = |bytes: u64| Some(bytes as f64);
    let gauge = |name, unit, help, value| one(Kind::Gauge, name, unit, help, value);
    let mut all = vec![
        pair(
            "monigo_cpu_usage_ratio",
            "ratio",
            "CPU time in use, of the CPUs that the service may use, and of all of the host.",
            ratio(load.service_cpu_load_percent),
            ratio(load.system_cpu_load_percent),
        ),
        pair(
            "monigo_cpu_cores_used",
            "",
            "Mean number of CPUs in use.",
            Some(cpu.cores_used_by_service),
            Some(cpu.cores_used_by_system),
        ),
        pair(
            "monigo_cpu_cores_limit",
            "",
            "CPUs that may be used at a time.",
            Some(cpu.cores_limit),
            Some(f64::from(cpu.total_logical_cores)),
        ),
        pair(
            "monigo_memory_usage_bytes",
            "bytes",
            "Memory in use.",
            bytes(memory.memory_used_by_service_bytes),
            bytes(memory.memory_used_by_system_bytes),
        ),
        pair(
            "monigo_memory_limit_bytes",
            "bytes",
            "Memory that may be used.",
            memory.memory_limit_bytes.and_then(bytes),
            bytes(memory.total_system_memory_bytes),
        ),
        gauge(
            "monigo_goroutines",
            "",
            "Goroutines of the service.",
            core.goroutines.map(|count| count as f64),
        ),
        gauge(
            "monigo_threads",
            "",
            "Threads of the service.",
            Some(core.threads as f64),
        ),
        gauge(
            "monigo_processes",
            "",
            "Processes of the service.",
            Some(core.processes as f64),
        ),
        gauge(
            "monigo_open_files",
            "",
            "Open file descriptors of the service.",
            core.open_files.map(|count| count as f64),
        ),
        gauge(
            "monigo_uptime_seconds",
            "seconds",
            "Age of the oldest process of the service.",
            Some(core.uptime_seconds),
        ),
        one(
            Kind::Counter,
            "monigo_gc_pause_seconds",
            "seconds",
            "Garbage collection pauses of the service.",
            memory.gc_pause_total_ns.map(|ns| ns as f64 / 1e9),
        ),
    ];
    all.extend(traffic(metrics));
    let health = &metrics.health;
    let score = |health: &Health| Some(health.percent / 100.0);
    let healthy = |health: &Health| Some(f64::from(u8::from(health.healthy)));
    all.push(pair(
        "monigo_health_ratio",
        "ratio",
        "Health score.",
        score(&health.service_health),
        score(&health.system_health),
    ));
    all.push(pair(
        "monigo_healthy",
        "",
        "1 if no limit is exceeded and the score is above one half, else 0.",
        healthy(&health.service_health),
        healthy(&health.system_health),
    ));
    all
}

/// Counters of bytes, labelled by what they cover.
fn traffic(metrics: &Metrics) -> Vec<Family> {
    let points =
        |service: &Option<IoFigures>, system: &Option<IoFigures>, of: fn(&IoFigures) -> u64| {
            [("service", service), ("system", system)]
                .into_iter()
                .filter_map(|(scope, figures)| {
                    let figures = figures.as_ref()?;
                    let labels = vec![
                        ("scope", scope.to_owned()),
                        ("covers", figures.covers.clone()),
                    ];
                    Some(Point::number(labels, of(figures) as f64))
                })
                .collect()
        };
    let (disk, network) = (&metrics.disk_io, &metrics.network_io);
    let read: fn(&IoFigures) -> u64 = |figures| figures.read_bytes;
    let written: fn(&IoFigures) -> u64 = |figures| figures.written_bytes;
    let counter = |name, help, points| Family::new(Kind::Counter, name, "bytes", help, points);
    vec![
        counter(
            "monigo_disk_read_bytes",
            "Bytes read from disks.",
            points(&disk.service, &disk.system, read),
        ),
        counter(
            "monigo_disk_write_bytes",
            "Bytes written to disks.",
            points(&disk.service, &disk.system, written),
        ),
        counter(
            "monigo_network_receive_bytes",
            "Bytes received.",
            points(&network.service, &network.system, read),
        ),
        counter(
            "monigo_network_transmit_bytes",
            "Bytes sent.",
            points(&network.service, &network.system, written),
        ),
    ]
}

/// What monigo says about itself.
fn own(source: &dyn Source, service: &dyn Service) -> Result<Vec<Family>, QueryError> {
    let overview = source.overview()?;
    let storage = source.storage()?;
    let info = service.info();
    let losses = overview
        .losses
        .iter()
        .map(|loss| Point::number(vec![("cause", loss.cause.clone())], loss.count as f64));
    let target = vec![
        ("service", info.service_name),
        ("target", overview.target.clone()),
        ("language", overview.language.name().to_owned()),
        ("runtime", info.runtime_version.unwrap_or_default()),
        ("host", overview.host.clone()),
    ];
    let built = vec![
        ("version", overview.monigo_version.clone()),
        ("kernel", overview.kernel.clone()),
    ];
    let taken = storage.on_disk_bytes.unwrap_or(storage.memory_bytes);
    Ok(vec![
        Family::new(
            Kind::Info,
            "monigo_build",
            "",
            "Version of monigo and of the kernel it runs on.",
            vec![Point::number(built, 1.0)],
        ),
        Family::new(
            Kind::Info,
            "monigo_target",
            "",
            "What is traced.",
            vec![Point::number(target, 1.0)],
        ),
        one(
            Kind::Counter,
            "monigo_recorded_calls",
            "",
            "Calls recorded in full that are kept.",
            Some(overview.recorded as f64),
        ),
        Family::new(
            Kind::Counter,
            "monigo_lost",
            "",
            "What could not be measured or recorded, by cause.",
            losses.collect(),
        ),
        one(
            Kind::Gauge,
            "monigo_storage_bytes",
            "bytes",
            "Size of the database.",
            Some(taken as f64),
        ),
        one(
            Kind::Gauge,
            "monigo_session_start_time_seconds",
            "seconds",
            "Start of the recording, Unix time.",
            Some(overview.started_ns as f64 / 1e9),
        ),
    ])
}

fn exporters(statuses: &[ExporterStatus]) -> Vec<Family> {
    let each = |value: fn(&ExporterStatus) -> f64| -> Vec<Point> {
        let labels = |status: &ExporterStatus| vec![("exporter", status.name.clone())];
        let point = |status| Point::number(labels(status), value(status));
        statuses.iter().map(point).collect()
    };
    vec![
        Family::new(
            Kind::Counter,
            "monigo_exporter_sent",
            "",
            "Data points, spans and events that a receiver accepted.",
            each(|status| status.sent as f64),
        ),
        Family::new(
            Kind::Counter,
            "monigo_exporter_dropped",
            "",
            "Data points, spans and events that were given up.",
            each(|status| status.dropped as f64),
        ),
        Family::new(
            Kind::Gauge,
            "monigo_exporter_queued",
            "",
            "Data points, spans and events that wait.",
            each(|status| status.queued as f64),
        ),
        Family::new(
            Kind::Gauge,
            "monigo_exporter_up",
            "",
            "1 if the last attempt succeeded, else 0.",
            each(|status| f64::from(u8::from(status.state == ExporterState::Ok))),
        ),
    ]
}
