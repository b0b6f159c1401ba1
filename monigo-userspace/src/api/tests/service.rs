//! The API of the service around the calls.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{BOUND, fixture, get, loopback, send};
use crate::api::{HttpSettings, LiveStatus};

const BASE: &str = "/monigo/api/v1";

pub(super) async fn post(router: &Router, path: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::post(format!("{BASE}/{path}"))
        .header(header::HOST, "localhost:8080")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn nothing_measured_is_an_empty_list() {
    let router = loopback().router;
    let (status, body) = post(
        &router,
        "service-metrics",
        json!({
            "field_name": ["service_cpu_load"],
            "start_time": "2026-01-01T00:00:00Z",
            "end_time": "2026-01-01T01:00:00+00:00",
        })
        .to_string(),
    )
    .await;
    assert_eq!((status, body), (200, json!([])));
    for topic in [
        "LoadStatistics",
        "CPUStatistics",
        "MemoryStatistics",
        "MemoryProfile",
        "NetworkIO",
        "OverallHealth",
        "FunctionLatency",
    ] {
        for frame in ["5m", "1h", "7d"] {
            let body = json!({"topic": topic, "time_frame": frame, "points": 10});
            let (status, body) = post(&router, "reports", body.to_string()).await;
            assert_eq!((status, body), (200, json!([])), "{topic} {frame}");
        }
    }
    let functions = get(&router, &format!("{BASE}/function")).await;
    assert_eq!(functions.json(), json!([]));
}

/// Bodies that are refused, and what the message names.
#[expect(clippy::too_many_lines, reason = "a table")]
fn refused_bodies() -> Vec<(&'static str, String, &'static str)> {
    let metrics = |change: Value| {
        let mut body = json!({
            "field_name": ["service_cpu_load"],
            "start_time": "2026-01-01T00:00:00Z",
            "end_time": "2026-01-01T01:00:00Z",
        });
        let fields = body.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    let report = |change: Value| {
        let mut body = json!({"topic": "LoadStatistics", "time_frame": "1h"});
        let fields = body.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    vec![
        ("service-metrics", String::new(), "EOF"),
        ("service-metrics", "{".to_owned(), "EOF"),
        ("service-metrics", "[]".to_owned(), "expected an object"),
        ("service-metrics", "null".to_owned(), "expected an object"),
        ("service-metrics", "{}".to_owned(), "field_name"),
        (
            "service-metrics",
            metrics(json!({"field_name": []})),
            "field_name",
        ),
        (
            "service-metrics",
            metrics(json!({"field_name": ["cpu"]})),
            "'cpu'",
        ),
        (
            "service-metrics",
            metrics(json!({"field_name": "cpu"})),
            "field_name",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": "yesterday"})),
            "'start_time'",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": "1767225600"})),
            "'start_time'",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": 1_767_225_600})),
            "start_time",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": "2026-02-30T00:00:00Z"})),
            "'start_time'",
        ),
        (
            "service-metrics",
            metrics(json!({"end_time": "2025-01-01T00:00:00Z"})),
            "before end_time",
        ),
        (
            "service-metrics",
            metrics(json!({"end_time": "2026-01-01T00:00:00Z"})),
            "before end_time",
        ),
        (
            "service-metrics",
            metrics(json!({"end_time": "9999-01-01T00:00:00Z"})),
            "'end_time'",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": "0001-01-01T00:00:00Z"})),
            "'start_time'",
        ),
        (
            "service-metrics",
            metrics(json!({"start_time": "2000-01-01T00:00:00Z"})),
            "10 years",
        ),
        ("service-metrics", metrics(json!({"points": 0})), "'points'"),
        (
            "service-metrics",
            metrics(json!({"points": 2001})),
            "'points'",
        ),
        ("service-metrics", metrics(json!({"points": -1})), "points"),
        ("service-metrics", metrics(json!({"pionts": 1})), "pionts"),
        (
            "reports",
            report(json!({"topic": "Everything"})),
            "Everything",
        ),
        ("reports", report(json!({"time_frame": "1y"})), "1y"),
        ("reports", report(json!({"time_frame": null})), "start_time"),
        (
            "reports",
            report(json!({"start_time": "2026-01-01T00:00:00Z"})),
            "'end_time' is missing",
        ),
        (
            "reports",
            report(json!({"end_time": "2026-01-01T00:00:00Z"})),
            "'start_time' is missing",
        ),
        ("reports", "\u{0}".to_owned(), "expected value"),
        ("reports", "[".repeat(10_000), "expected an object"),
    ]
}

#[tokio::test]
async fn what_cannot_be_understood_is_named() {
    let router = loopback().router;
    for (path, body, part) in refused_bodies() {
        let shown: String = body.chars().take(80).collect();
        let (status, answer) = post(&router, path, body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{path} {shown}: {message}");
        assert!(message.contains(part), "{path} {shown}: {message}");
    }
    let long = format!("{{\"topic\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(post(&router, "reports", long).await.0, 413);
    let invalid = vec![b'{', b'"', 0xff, b'"'];
    assert_eq!(post(&router, "reports", invalid).await.0, 400);
}

#[tokio::test]
async fn functions_and_reports_that_do_not_exist() {
    let router = loopback().router;
    for (query, status, part) in [
        ("", 400, "'name' is missing"),
        (
            "?name=x&reportType=svg",
            400,
            "text, top, tree, traces, raw, flamegraph",
        ),
        ("?name=x&reportType=", 400, "'reportType'"),
        ("?name=x&type=text", 400, "'type' is not known"),
        ("?name=main.nothing", 404, "main.nothing"),
        ("?name=%3Bid&reportType=top", 404, ";id"),
        ("?name=..%2F..%2Fetc%2Fpasswd", 404, "passwd"),
    ] {
        let answer = get(&router, &format!("{BASE}/function-details{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
        assert!(
            answer.message().contains(part),
            "{query}: {}",
            answer.message()
        );
    }
}

#[tokio::test]
async fn what_is_not_known_says_so() {
    let router = loopback().router;
    for path in ["metrics", "go-routines-stats"] {
        let answer = get(&router, &format!("{BASE}/{path}")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.code(), "unavailable");
    }
    let info = get(&router, &format!("{BASE}/service-info")).await.json();
    assert_eq!(info["service_name"], "target");
    assert_eq!(info["language"], "rust");
    assert_eq!(info["process_id"], 1);
    let answer = get(&router, &format!("{BASE}/nothing")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.message().contains("openapi.json"));
}

#[tokio::test]
async fn the_wrong_method_is_told_the_right_one() {
    let router = loopback().router;
    for (method, path, allow) in [
        (Method::GET, "reports", "POST"),
        (Method::PUT, "reports", "POST"),
        (Method::DELETE, "service-info", "GET,HEAD"),
        (Method::POST, "service-info", "GET,HEAD"),
    ] {
        let answer = send(&router, method.clone(), &format!("{BASE}/{path}"), &[]).await;
        assert_eq!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.code(), "method_not_allowed");
    }
}

#[tokio::test]
async fn the_base_path_may_be_another() {
    let mut settings = HttpSettings::default();
    settings.listen.base_path = "/watch/v1".to_owned();
    let router = fixture(&settings, BOUND).router;
    assert_eq!(get(&router, "/watch/v1/exporters").await.json(), json!([]));
    assert_eq!(
        get(&router, "/watch/v1").await.status,
        StatusCode::NOT_FOUND
    );
    let document = get(&router, "/watch/v1/openapi.json").await.json();
    assert!(document["paths"]["/watch/v1/reports"]["post"].is_object());
    assert!(document["paths"]["/healthz"]["get"].is_object());
}

#[tokio::test]
async fn probes_and_scrapes() {
    let router = loopback().router;
    assert_eq!(
        get(&router, "/healthz").await.json(),
        json!({"status": "ok"})
    );
    let ready = get(&router, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(ready.json()["checks"][0]["name"], "database");
    let scraped = get(&router, "/metrics").await;
    assert_eq!(scraped.status, StatusCode::OK);
    assert!(scraped.header("content-type").starts_with("text/plain"));
    assert!(
        scraped.body.contains("monigo_build_info{"),
        "{}",
        scraped.body
    );
}

#[tokio::test]
async fn a_dead_collector_is_told_of() {
    let fixture = loopback();
    let alive = LiveStatus {
        flushed: Some(std::time::Instant::now()),
        ..LiveStatus::default()
    };
    fixture.status.send(alive.clone()).unwrap();
    let ready = get(&fixture.router, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
    let message = async || {
        let ready = get(&fixture.router, "/readyz").await;
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
        let body = ready.json();
        assert_eq!(body["ready"], false);
        let checks = body["checks"].as_array().unwrap().clone();
        let wrong: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        format!("{}: {}", wrong[0]["name"], wrong[0]["message"])
    };
    let full = Some("the disk is full".to_owned());
    let failing = LiveStatus {
        store_error: full,
        ..alive.clone()
    };
    fixture.status.send(failing).unwrap();
    assert_eq!(message().await, r#""store": "the disk is full""#);
    fixture.status.send(alive).unwrap();
    // Whoever flushes is gone, without a word.
    drop(fixture.flush);
    assert_eq!(message().await, r#""collector": "the recording is over""#);
    let alive = get(&fixture.router, "/healthz").await;
    assert_eq!(alive.status, StatusCode::OK, "the server itself lives");
}
