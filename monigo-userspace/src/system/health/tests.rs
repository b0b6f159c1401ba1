use proptest::prelude::*;

use super::*;
use crate::service::HealthPair;

fn service(cpu: f64, memory: f64, goroutines: u64) -> ServiceUse {
    ServiceUse {
        processes: 1,
        cpu_percent: cpu,
        memory_percent: memory,
        routines: Some((RoutineKind::Goroutines, goroutines)),
        latencies: Vec::new(),
    }
}

fn slow(measured_ns: Option<u64>) -> LatencyUse {
    LatencyUse {
        function: "main.handle".to_owned(),
        objective: "main.handle p99 < 50ms".parse().unwrap(),
        measured_ns,
    }
}

#[test]
fn the_score_is_the_mean_of_uses() {
    let health = service_health(&HealthSettings::default(), &service(9.5, 19.0, 30));
    // 10 %, 20 % and 30 % of the limits.
    assert!((health.percent - 80.0).abs() < 1e-9, "{health:?}");
    assert!(health.healthy);
    assert_eq!(health.message, "Satisfactory");
    assert_eq!(
        health.icon_msg,
        "Service usage is within limits: CPU Usage 9.5% / 95%, Memory Usage 19.0% / 95%, Goroutines 30 / 100"
    );
    assert!(health.breaches.is_empty());
}

#[test]
fn one_breach_is_enough() {
    let health = service_health(&HealthSettings::default(), &service(0.0, 0.0, 101));
    assert!(!health.healthy);
    assert!(health.percent <= BREACHED);
    assert_eq!(health.message, "Poor");
    assert_eq!(
        health.breaches,
        ["Goroutines 101, 1 above the limit of 100"]
    );
    assert!(
        health
            .icon_msg
            .starts_with("Service usage exceeds allowed limits")
    );
    let health = system_health(&HealthSettings::default(), 99.0, 1.0);
    assert!(!health.healthy);
    assert_eq!(
        health.breaches,
        ["CPU Usage 99.0%, 4.0 points above the limit of 95%"]
    );
}

#[test]
fn threads_stand_in_for_goroutines() {
    let settings = HealthSettings {
        max_threads: 10,
        ..HealthSettings::default()
    };
    let mut service = service(0.0, 0.0, 11);
    assert!(service_health(&settings, &service).healthy);
    service.routines = Some((RoutineKind::Threads, 11));
    assert!(!service_health(&settings, &service).healthy);
}

#[test]
fn latency_objectives_count() {
    let settings = HealthSettings::default();
    let mut service = service(0.0, 0.0, 0);
    service.latencies = vec![slow(Some(60_000_000)), slow(None)];
    let health = service_health(&settings, &service);
    assert!(!health.healthy);
    assert_eq!(
        health.breaches,
        ["p99 of main.handle 60.0 ms, 10.0 ms above the limit of 50.0 ms"]
    );
    service.latencies = vec![slow(Some(50_000_000))];
    assert!(!service_health(&settings, &service).healthy, "less than");
    service.latencies = vec![slow(Some(20_000_000))];
    let health = service_health(&settings, &service);
    assert!((health.percent - 90.0).abs() < 1e-9, "{health:?}");
    service.latencies = vec![slow(None)];
    assert!((service_health(&settings, &service).percent - 100.0).abs() < 1e-9);
}

#[test]
fn nothing_alive_is_not_healthy() {
    let health = service_health(&HealthSettings::default(), &ServiceUse::default());
    assert!(!health.healthy);
    assert_eq!(health.message, "Critical");
    assert_eq!(health.icon_msg, "No traced process is running");
}

#[test]
fn bands() {
    let bands = [
        (100.0, "Excellent"),
        (90.0, "Excellent"),
        (89.9, "Good"),
        (85.0, "Good"),
        (70.0, "Satisfactory"),
        (50.0, "Fair"),
        (30.0, "Poor"),
        (29.9, "Critical"),
        (0.0, "Critical"),
    ];
    for (percent, word) in bands {
        assert_eq!(band(percent), word, "{percent}");
    }
}

#[test]
fn objectives_read_and_write() {
    for (text, function, below_ns) in [
        ("main.handle p99 < 50ms", "main.handle", 50_000_000),
        (
            "  a::b<c>(int, long)   mean<1s ",
            "a::b<c>(int, long)",
            1_000_000_000,
        ),
    ] {
        let objective: Objective = text.parse().unwrap();
        assert_eq!(objective.function, function);
        assert_eq!(objective.below_ns(), below_ns);
        assert_eq!(objective.to_string().parse(), Ok(objective));
    }
    for (text, reason) in [
        ("", "write it as"),
        ("main.handle p99 > 50ms", "write it as"),
        ("p99 < 50ms", "write it as"),
        ("main.handle p98 < 50ms", "p98"),
        ("main.handle p99 < 50", "no duration"),
        ("main.handle p99 < -5ms", "no duration"),
    ] {
        let error = text.parse::<Objective>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn objectives_name_functions_by_their_end() {
    let objective: Objective = "Handle p99 < 50ms".parse().unwrap();
    assert!(objective.is_about("Handle"));
    assert!(objective.is_about("main.(*Server).Handle"));
    assert!(objective.is_about("a::Handle"));
    assert!(!objective.is_about("main.reHandle"));
    assert!(!objective.is_about("main.Handle.func1"));
}

#[test]
fn settings_read_back_and_are_checked() {
    let settings: HealthSettings =
        serde_json::from_str(r#"{"max_cpu": 80, "objectives": ["main.handle p99 < 50ms"]}"#)
            .unwrap();
    assert!((settings.max_cpu - 80.0).abs() < f64::EPSILON);
    assert_eq!(settings.max_goroutines, 100);
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(
        serde_json::from_str::<HealthSettings>(&text).unwrap(),
        settings
    );
    assert!(serde_json::from_str::<HealthSettings>(r#"{"max_cpus": 80}"#).is_err());
    settings.check().unwrap();
    let bad = HealthSettings {
        max_memory: 0.0,
        ..settings.clone()
    };
    assert_eq!(
        bad.check().unwrap_err().to_string(),
        "max_memory is 0, and must be a percentage from 1 to 100"
    );
    let bad = HealthSettings {
        max_goroutines: 0,
        ..settings
    };
    assert!(bad.check().is_err());
}

#[test]
fn a_change_must_last() {
    let good = service_health(&HealthSettings::default(), &service(1.0, 1.0, 1));
    let bad = service_health(&HealthSettings::default(), &service(99.0, 1.0, 1));
    let pair = |service: &Health| HealthPair {
        system_health: good.clone(),
        service_health: service.clone(),
    };
    let mut watch = HealthWatch::default();
    for health in [&bad, &bad, &good, &bad, &bad] {
        assert!(watch.take(&pair(health)).is_empty(), "flapping");
    }
    let changes = watch.take(&pair(&bad));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].subject, Subject::Service);
    assert!(!changes[0].now.healthy);
    assert!(watch.take(&pair(&bad)).is_empty(), "told once");
    let told: usize = (0..3).map(|_| watch.take(&pair(&good)).len()).sum();
    assert_eq!(told, 1);
}

proptest! {
    #[test]
    fn scores_stay_in_range_and_agree_with_themselves(
        cpu in 0.0..300.0_f64, memory in 0.0..300.0_f64, goroutines in 0_u64..1_000,
        latency in proptest::option::of(0_u64..200_000_000),
    ) {
        let mut service = service(cpu, memory, goroutines);
        service.latencies = vec![slow(latency)];
        let health = service_health(&HealthSettings::default(), &service);
        prop_assert!((0.0..=100.0).contains(&health.percent));
        prop_assert_eq!(health.healthy, health.percent > HEALTHY_ABOVE);
        let breached = cpu > 95.0 || memory > 95.0 || goroutines > 100
            || latency.is_some_and(|ns| ns >= 50_000_000);
        prop_assert_eq!(breached, !health.breaches.is_empty());
        prop_assert!(!(breached && health.healthy));
        prop_assert_eq!(health.message.as_str(), band(health.percent));
    }

    #[test]
    fn more_use_never_scores_higher(
        cpu in 0.0..100.0_f64, memory in 0.0..100.0_f64, goroutines in 0_u64..200,
        more in 0.0..50.0_f64,
    ) {
        let settings = HealthSettings::default();
        let before = service_health(&settings, &service(cpu, memory, goroutines)).percent;
        let after = service_health(&settings, &service(cpu + more, memory, goroutines)).percent;
        prop_assert!(after <= before);
        let after = service_health(&settings, &service(cpu, memory, goroutines + 1)).percent;
        prop_assert!(after <= before);
    }

    #[test]
    fn what_was_not_measured_is_no_breach(cpu in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)]) {
        let health = system_health(&HealthSettings::default(), cpu, 10.0);
        prop_assert!(health.healthy);
        prop_assert!(health.percent.is_finite());
    }
}
