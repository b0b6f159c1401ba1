//! Answers about a recording whose figures are known.

use axum::Router;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{BOUND, get, service::post};
use crate::{
    api::{Guards, HttpSettings, Sessions, router},
    store::{Database, fixture},
    system::metrics::rfc3339,
};

const BASE: &str = "/monigo/api/v1";

/// A server of the fixture. It answers as long as the others live.
fn recorded() -> (Router, Database, watch::Sender<bool>) {
    let mut database = Database::in_memory().unwrap();
    fixture::record(&mut database);
    let sessions = Sessions::of(database.reader().unwrap());
    let (keep, stopping) = watch::channel(false);
    let settings = HttpSettings::default();
    let guards = Guards::new(&settings, Some(BOUND)).unwrap();
    (
        router(sessions.into(), &settings, guards, stopping),
        database,
        keep,
    )
}

#[tokio::test]
async fn every_report_about_a_function() {
    let (router, _database, _keep) = recorded();
    for (kind, parts) in [
        ("text", ["1,001", "main.worker"]),
        ("top", ["main.process_order", "main.worker"]),
        ("tree", ["main.main", "main.worker"]),
        ("traces", ["main.retry", "main.process_order"]),
        ("raw", ["main.process_order", "main.main"]),
        ("flamegraph", ["<svg", "main.worker"]),
    ] {
        let path = format!("{BASE}/function-details?name=main.process_order&reportType={kind}");
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        for part in parts {
            assert!(answer.body.contains(part), "{kind} {part}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn functions_have_their_figures() {
    let (router, _database, _keep) = recorded();
    let rows = get(&router, &format!("{BASE}/function")).await.json();
    let row = |name: &str| {
        let rows = rows.as_array().unwrap().iter();
        let mut found = rows.filter(|row| row["name"] == name);
        found.next().cloned().unwrap()
    };
    let order = row("main.process_order");
    for (field, wanted) in [("calls", 1001), ("errors", 2), ("in_flight", 1)] {
        assert_eq!(order[field], wanted, "{field}");
    }
    // 1001 calls in three seconds.
    let rate = order["rate_per_second"].as_f64().unwrap();
    assert!((rate - 1001.0 / 3.0).abs() < 1e-6, "{rate}");
    assert_eq!(order["latency_ns"]["max"], 50_000_000);
    assert_eq!(
        order["last_run"],
        rfc3339(fixture::START + 3 * fixture::SECOND)
    );
    let charge = row("main.charge");
    assert_eq!(charge["total_ns"], 10_000_000);
    let median = charge["latency_ns"]["p50"].as_f64().unwrap();
    assert!((median / 1e6 - 1.0).abs() < 0.03, "{median}");
}

#[tokio::test]
async fn series_ascend_and_hold_what_was_read() {
    let (router, _database, _keep) = recorded();
    let times = |mut question: Value| {
        question["start_time"] = json!(rfc3339(fixture::START - fixture::SECOND));
        question["end_time"] = json!(rfc3339(fixture::START + 4 * fixture::SECOND));
        question.to_string()
    };
    let values = |answer: &Value, name: &str| -> Vec<f64> {
        let points = answer.as_array().unwrap();
        let times: Vec<&str> = points.iter().map(|p| p["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        points
            .iter()
            .filter_map(|p| p["value"][name].as_f64())
            .collect()
    };
    let load = times(json!({"topic": "LoadStatistics"}));
    let (status, load) = post(&router, "reports", load).await;
    assert_eq!(status, 200, "{load}");
    assert_eq!(values(&load, "service_cpu_load"), [20.0, 40.0, 90.0]);
    let asked = times(json!({"field_name": ["system_cpu_load", "service_cpu_load"]}));
    let (_, series) = post(&router, "service-metrics", asked).await;
    assert_eq!(values(&series, "system_cpu_load"), [50.0]);
    let coarse = times(json!({"field_name": ["service_cpu_load"], "points": 1}));
    let (_, one) = post(&router, "service-metrics", coarse).await;
    assert_eq!(values(&one, "service_cpu_load").len(), 1, "{one}");
    let latency = times(json!({"topic": "FunctionLatency"}));
    let (_, latency) = post(&router, "reports", latency).await;
    let calls = values(&latency, "main.process_order calls_per_second");
    assert_eq!(calls.first(), Some(&1000.0), "{latency}");
    assert_eq!(calls.last(), Some(&1.0), "{latency}");
}
