//! The service of a recording that goes on.

use std::{
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use super::{
    ExporterStatus, Metrics, Reading, RoutineKind, Routines, Service, ServiceError, ServiceInfo,
    lately::Lately,
};
use crate::sync::lock;
use crate::{
    query::{FunctionRow, Source},
    system::{
        health::{
            HealthChange, HealthSettings, HealthWatch, LatencyUse, ServiceUse, service_health,
            system_health,
        },
        metrics::{Figures, Monitor, TIME_TO_LIVE, is_between_looks, readings, rfc3339},
    },
};

/// What does not change about a service while it is recorded.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// See [`ServiceInfo::service_name`].
    pub service_name: String,
    /// See [`ServiceInfo::language`].
    pub language: String,
    /// See [`ServiceInfo::runtime_version`].
    pub runtime_version: Option<String>,
    /// See [`ServiceInfo::go_version`].
    pub go_version: Option<String>,
    /// See [`ServiceInfo::retention_period`].
    pub retention_period: String,
    /// Host name.
    pub host: String,
    /// See [`ServiceInfo::time_zone`].
    pub time_zone: Option<String>,
    /// Start of the recording, Unix time in ns.
    pub recording_started_ns: i64,
}

/// Goroutines or threads of the service.
pub trait RoutineReader: Send + Sync {
    /// How many there are, from a cache.
    fn count(&self, pids: &[u32]) -> Option<(RoutineKind, u64)>;
    /// All of them, from a cache.
    fn routines(&self, pids: &[u32]) -> Result<Routines, ServiceError>;
    /// Adds what the language's runtime tells of itself.
    fn runtime(&self, pids: &[u32], metrics: &mut Metrics);
    /// Takes a look for growth, if it is time. Called about once a second.
    fn tick(&self, pids: &[u32]);
}

type Exporters = Box<dyn Fn() -> Vec<ExporterStatus> + Send + Sync>;
type Listener = Box<dyn Fn(&HealthChange) + Send + Sync>;

/// Answers about processes that are traced now.
pub struct Live {
    identity: RwLock<Identity>,
    monitor: Monitor,
    routines: Box<dyn RoutineReader>,
    source: Arc<dyn Source>,
    health: RwLock<HealthSettings>,
    latencies: Lately,
    exporters: RwLock<Vec<Exporters>>,
    settings: RwLock<serde_json::Value>,
    watch: Mutex<HealthWatch>,
    listeners: RwLock<Vec<Listener>>,
    last_reading_ns: Mutex<Option<i64>>,
}

impl Live {
    /// Answers with what `monitor` and `routines` read, and with latencies from `source`.
    pub fn new(
        identity: Identity,
        monitor: Monitor,
        routines: Box<dyn RoutineReader>,
        source: Arc<dyn Source>,
        health: HealthSettings,
    ) -> Self {
        Self {
            identity: RwLock::new(identity),
            monitor,
            routines,
            source,
            health: RwLock::new(health),
            latencies: Lately::default(),
            exporters: RwLock::default(),
            settings: RwLock::default(),
            watch: Mutex::default(),
            listeners: RwLock::default(),
            last_reading_ns: Mutex::default(),
        }
    }

    /// Other limits for the scores, from now on.
    pub fn set_health(&self, health: HealthSettings) {
        *write(&self.health) = health;
    }

    /// Changes what can change of the identity: name, zone, retention.
    pub fn set_identity(&self, change: impl FnOnce(&mut Identity)) {
        change(&mut write(&self.identity));
    }

    /// Lists further exporters.
    pub fn add_exporters(
        &self,
        exporters: impl Fn() -> Vec<ExporterStatus> + Send + Sync + 'static,
    ) {
        write(&self.exporters).push(Box::new(exporters));
    }

    /// What [`Service::settings`] answers.
    pub fn set_settings(&self, settings: serde_json::Value) {
        *write(&self.settings) = settings;
    }

    /// Tells `listener` when the service or the host becomes healthy or unhealthy and stays so for
    /// three readings. Called on the sampler's thread, which it should not hold up.
    pub fn on_health_change(&self, listener: impl Fn(&HealthChange) + Send + Sync + 'static) {
        write(&self.listeners).push(Box::new(listener));
    }

    /// Values of all series, not older than `age`; empty if they were returned before. The first have nothing
    /// that needs an earlier look, and no goroutines: to find out how a program keeps them takes a while, when the
    /// first numbers are waited for. Tells listeners of changed health.
    pub fn readings(&self, age: Duration) -> Vec<Reading> {
        let figures = self.monitor.figures_within(age);
        let first = {
            let mut last = lock(&self.last_reading_ns);
            if *last == Some(figures.at_ns) {
                return Vec::new();
            }
            last.replace(figures.at_ns).is_none()
        };
        if !first {
            self.routines.tick(&figures.pids);
        }
        let metrics = self.complete(&figures, !first);
        let changes = lock(&self.watch).take(&metrics.health);
        for change in changes {
            for listener in &*read(&self.listeners) {
                listener(&change);
            }
        }
        let mut readings = readings(&metrics, figures.at_ns);
        if first {
            // The look before was only just now: too short for anything but 0 or far too much.
            readings.retain(|reading| !is_between_looks(&reading.name));
        }
        readings
    }

    fn complete(&self, figures: &Figures, with_routines: bool) -> Metrics {
        let mut metrics = figures.metrics.clone();
        let pids = &figures.pids;
        let threads = (RoutineKind::Threads, metrics.core_statistics.threads);
        let mut routines = None;
        if with_routines {
            let counted = self.routines.count(pids);
            if let Some((RoutineKind::Goroutines, count)) = counted {
                metrics.core_statistics.goroutines = Some(count);
            }
            routines = Some(counted.unwrap_or(threads));
            self.routines.runtime(pids, &mut metrics);
        }
        let settings = read(&self.health).clone();
        let load = &metrics.load_statistics;
        let service = ServiceUse {
            processes: metrics.core_statistics.processes,
            cpu_percent: load.service_cpu_load_percent,
            memory_percent: load.service_memory_load_percent,
            routines,
            latencies: self.latencies(&settings),
        };
        let (cpu, memory) = (
            load.system_cpu_load_percent,
            load.system_memory_load_percent,
        );
        metrics.health.service_health = service_health(&settings, &service);
        metrics.health.system_health = system_health(&settings, cpu, memory);
        metrics
    }

    fn latencies(&self, settings: &HealthSettings) -> Vec<LatencyUse> {
        if settings.objectives.is_empty() {
            return Vec::new();
        }
        let functions = self.latencies.functions(&*self.source);
        latencies(settings, &functions)
    }
}

/// Every pair of an objective and a function that it is about.
fn latencies(settings: &HealthSettings, functions: &[FunctionRow]) -> Vec<LatencyUse> {
    let pairs = settings.objectives.iter().flat_map(|objective| {
        let about = functions.iter().filter(|row| objective.is_about(&row.name));
        about.map(move |row| LatencyUse {
            function: row.name.clone(),
            objective: objective.clone(),
            measured_ns: (row.timed > 0).then(|| objective.statistic.of(&row.latency_ns)),
        })
    });
    pairs.collect()
}

impl Service for Live {
    fn info(&self) -> ServiceInfo {
        let identity = read(&self.identity).clone();
        let figures = self.monitor.figures();
        let storage = self.source.storage().unwrap_or_default();
        let started_ns = figures.started_ns.unwrap_or(identity.recording_started_ns);
        ServiceInfo {
            service_name: identity.service_name,
            service_start_time: rfc3339(started_ns),
            language: identity.language,
            runtime_version: identity.runtime_version,
            go_version: identity.go_version,
            process_id: figures.pids.first().copied(),
            process_ids: figures.pids.clone(),
            retention_period: identity.retention_period,
            storage_type: super::storage_type(storage).to_owned(),
            storage_on_disk_bytes: storage.on_disk_bytes,
            host: identity.host,
            monigo_version: env!("CARGO_PKG_VERSION").to_owned(),
            time_zone: identity.time_zone,
        }
    }

    fn metrics(&self) -> Result<Metrics, ServiceError> {
        Ok(self.complete(&self.monitor.figures_within(TIME_TO_LIVE), true))
    }

    fn routines(&self) -> Result<Routines, ServiceError> {
        self.routines.routines(&self.monitor.figures().pids)
    }

    fn exporters(&self) -> Vec<ExporterStatus> {
        let exporters = read(&self.exporters);
        exporters.iter().flat_map(|list| list()).collect()
    }

    fn settings(&self) -> serde_json::Value {
        read(&self.settings).clone()
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
