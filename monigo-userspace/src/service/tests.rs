use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    goroutines::{History, ThreadReader},
    query::{DuckSource, Source},
    store::{Batch, Database, Store as _, fixture},
    system::{
        health::{HealthSettings, Subject},
        metrics::{Monitor, ProcLook, SERIES},
    },
};

/// The recording of the fixture.
fn source() -> Arc<dyn Source> {
    let mut database = Database::in_memory().unwrap();
    let session = fixture::record(&mut database);
    Arc::new(DuckSource::open(database.reader().unwrap(), Some(session)).unwrap())
}

/// Of this very process.
fn live(health: HealthSettings) -> Live {
    live_over(source(), health)
}

fn live_over(source: Arc<dyn Source>, health: HealthSettings) -> Live {
    let pids = || BTreeSet::from([std::process::id()]);
    let identity = Identity {
        service_name: "orders".to_owned(),
        retention_period: "7d".to_owned(),
        ..Identity::default()
    };
    Live::new(
        identity,
        Monitor::new(Box::<ProcLook>::default(), Box::new(pids)),
        Box::new(ThreadReader::new(History::default())),
        source,
        health,
    )
}

#[test]
fn a_live_service_tells_of_itself() {
    let live = live(HealthSettings::default());
    let info = live.info();
    assert_eq!(info.service_name, "orders");
    assert_eq!(info.process_id, Some(std::process::id()));
    assert_eq!(info.storage_type, "memory");
    assert!(info.service_start_time.ends_with('Z'), "{info:?}");
    let metrics = live.metrics().unwrap();
    assert_eq!(metrics.core_statistics.processes, 1);
    assert_eq!(metrics.core_statistics.goroutines, None);
    assert!(!metrics.health.service_health.message.is_empty());
    let routines = live.routines().unwrap();
    assert_eq!(routines.kind, RoutineKind::Threads);
    assert!(routines.number_of_goroutines > 0);
    live.set_identity(|identity| identity.time_zone = Some("Europe/Berlin".to_owned()));
    assert_eq!(live.info().time_zone.as_deref(), Some("Europe/Berlin"));
    assert!(live.exporters().is_empty());
}

#[test]
fn a_reading_is_taken_once() {
    let live = live(HealthSettings::default());
    let readings = live.readings(Duration::ZERO);
    let names = |readings: &[Reading]| -> BTreeSet<String> {
        readings
            .iter()
            .map(|reading| reading.name.clone())
            .collect()
    };
    let first = names(&readings);
    assert!(first.contains("threads") && first.contains("service_memory_load"));
    assert!(live.readings(Duration::from_hours(1)).is_empty());
    let mut second = live.readings(Duration::ZERO);
    while second.is_empty() {
        second = live.readings(Duration::ZERO);
    }
    let second = names(&second);
    assert!(
        second
            .iter()
            .all(|name| SERIES.iter().any(|s| s.name == name))
    );
    // The first has no earlier look to compare with.
    assert!(first.is_subset(&second));
    for name in [
        "service_cpu_load",
        "cores_used_by_system",
        "service_health_percent",
    ] {
        assert!(second.contains(name) && !first.contains(name), "{name}");
    }
    assert!(!first.iter().any(|name| name.ends_with("_per_second")));
}

#[test]
fn changed_health_is_told_once() {
    let live = live(HealthSettings {
        max_threads: 1,
        ..HealthSettings::default()
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    live.on_health_change(move |change| tell.lock().unwrap().push(change.clone()));
    // The test's own thread and the harness's.
    let mut taken = 0;
    while taken < 5 {
        taken += usize::from(!live.readings(Duration::ZERO).is_empty());
    }
    let told = told.lock().unwrap().clone();
    let service: Vec<_> = told
        .iter()
        .filter(|change| change.subject == Subject::Service)
        .collect();
    assert_eq!(service.len(), 1, "{told:?}");
    assert!(!service[0].now.healthy);
    assert!(
        service[0]
            .now
            .breaches
            .iter()
            .any(|text| text.starts_with("Threads "))
    );
    live.set_health(HealthSettings::default());
    let breaches = live.metrics().unwrap().health.service_health.breaches;
    assert!(
        !breaches.iter().any(|text| text.starts_with("Threads ")),
        "{breaches:?}"
    );
}

#[test]
fn objectives_are_compared_with_what_was_measured_lately() {
    let breaches = |minutes_later: i64| {
        let mut database = Database::in_memory().unwrap();
        let session = database.begin_session(&fixture::session()).unwrap();
        for batch in fixture::batches() {
            database.append(session, &batch).unwrap();
        }
        let later = Batch {
            at_ns: fixture::START + (3 + 60 * minutes_later) * fixture::SECOND,
            ..Batch::default()
        };
        database.append(session, &later).unwrap();
        let source = DuckSource::open(database.reader().unwrap(), Some(session)).unwrap();
        let settings = HealthSettings {
            objectives: vec!["main.process_order max < 40ms".parse().unwrap()],
            ..HealthSettings::default()
        };
        let live = live_over(Arc::new(source), settings);
        let mut breaches = live.metrics().unwrap().health.service_health.breaches;
        // This very process is watched, and may take all the CPU that it can get.
        breaches.retain(|breach| breach.contains("main.process_order"));
        breaches
    };
    let found = breaches(0);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("max of main.process_order"),
        "{found:?}"
    );
    // The host's clock has nothing to do with it: the fixture is long over by that one.
    assert_eq!(breaches(1), Vec::<String>::new());
}

#[test]
fn a_recording_answers_with_what_was_stored_last() {
    let recorded = Recorded::new(source());
    let info = recorded.info();
    assert_eq!(info.service_name, "orders");
    assert_eq!(info.language, "go");
    assert_eq!(info.go_version.as_deref(), Some("go1.24.11"));
    assert_eq!(info.runtime_version, info.go_version);
    assert_eq!(info.retention_period, "7d");
    let metrics = recorded.metrics().unwrap();
    assert!((metrics.load_statistics.service_cpu_load_percent - 90.0).abs() < 1e-9);
    assert!(!metrics.remarks.is_empty());
    assert!(matches!(
        recorded.routines(),
        Err(ServiceError::Unavailable(_))
    ));
}

#[test]
fn readings_reach_the_collector_until_it_ends() {
    let live = Arc::new(live(HealthSettings::default()));
    let (commands, received) = crossbeam_channel::unbounded();
    let sampler = Sampler::start(live, commands, Duration::from_millis(1)).unwrap();
    let crate::collect::Command::Readings(readings) = received.recv().unwrap() else {
        panic!("not readings");
    };
    assert!(!readings.is_empty());
    drop(sampler);
    // Ends when its thread has.
    received.iter().for_each(drop);
}
