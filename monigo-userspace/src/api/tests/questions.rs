//! Questions about calls.

use axum::http::StatusCode;

use super::{get, loopback};
use crate::api::LiveStatus;

#[tokio::test]
async fn overview_tells_where_the_recording_stands() {
    let fixture = loopback();
    fixture.flush.send_replace(41);
    fixture.status.send_replace(LiveStatus {
        text: "waiting".to_owned(),
        cost: "probes cost about 1.3% of one CPU".to_owned(),
        ..LiveStatus::default()
    });
    let answer = get(&fixture.router, "/api/v1/overview").await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["session"], 7);
    assert_eq!(json["language"], "rust");
    assert_eq!(json["sequence"], 41);
    assert_eq!(json["status"]["text"], "waiting");
    assert_eq!(json["status"]["ended"], false);
    drop(fixture.flush);
    let answer = get(&fixture.router, "/api/v1/overview").await;
    assert_eq!(answer.json()["status"]["ended"], true);
}

#[tokio::test]
async fn parameters_reach_the_source() {
    let fixture = loopback();
    for path in [
        "/api/v1/functions?from=-5&to=9",
        "/api/v1/functions",
        "/api/v1/series?function=3&points=17",
        "/api/v1/calls?limit=1000",
        "/api/v1/stacks?weight=calls",
    ] {
        get(&fixture.router, path).await;
    }
    let asked = fixture.source.asked.lock().unwrap().clone();
    let expected = [
        "functions Some(-5) Some(9)",
        "functions None None",
        "series Some(3) 17",
        "slowest 1000",
        "stacks Calls",
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn calls_carry_the_name_that_their_story_takes() {
    let fixture = loopback();
    let calls = get(&fixture.router, "/api/v1/calls").await.json();
    assert_eq!(calls[0]["function"], 3);
    let key = calls[0]["key"].as_str().expect("a key");
    get(&fixture.router, &format!("/api/v1/story/{key}")).await;
    let asked = fixture.source.asked.lock().unwrap().clone();
    assert_eq!(asked[1], "story 3-100-1795460521877934135");
}

#[tokio::test]
async fn questions_about_slow_calls_reach_the_source() {
    let fixture = loopback();
    for (path, status, code) in [
        (
            "/api/v1/calls?function=3&slower_than=10&faster_than=20&root=function&limit=5",
            StatusCode::OK,
            "",
        ),
        (
            "/api/v1/tail?function=3&percentile=99.9",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/story/3-100-17",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/story/3-100-17/trace.json",
            StatusCode::NOT_FOUND,
            "no_such_calls",
        ),
        (
            "/api/v1/diff?session=7&against_session=1&against_to=9",
            StatusCode::OK,
            "",
        ),
        ("/api/v1/diff.svg", StatusCode::NOT_FOUND, "not_found"),
    ] {
        let answer = get(&fixture.router, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status != StatusCode::OK {
            assert_eq!(answer.code(), code, "{path}");
        }
    }
    let asked = fixture.source.asked.lock().unwrap().clone();
    assert_eq!(asked[0], "slowest 5 Some(10) Some(20) None Function");
    assert!(asked[1].contains("function: 3") && asked[1].contains("Percentile(99900)"));
    assert_eq!(asked[2..4], ["story 3-100-17", "story 3-100-17"]);
    assert!(
        asked[4].contains("Some(1)") && asked[4].contains("Some(9)"),
        "{}",
        asked[4]
    );
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let router = loopback().router;
    for (path, part) in [
        ("/api/v1/functions?from=soon", "'from' must be Unix time"),
        ("/api/v1/functions?to=1e9", "'to' must be Unix time"),
        ("/api/v1/functions?from=2&to=2", "'from' must be before"),
        (
            "/api/v1/functions?form=2",
            "'form' is not known; this takes from, to",
        ),
        (
            "/api/v1/overview?x=1",
            "'x' is not known; this takes no parameters",
        ),
        ("/api/v1/series?function=-1", "'function' must be the id"),
        (
            "/api/v1/series?points=0",
            "'points' must be a whole number from 1 to",
        ),
        (
            "/api/v1/calls?limit=1001",
            "'limit' must be a whole number from 1 to 1000",
        ),
        ("/api/v1/heatmap", "'function' is missing"),
        (
            "/api/v1/flame?weight=heavy",
            "'weight' must be wall, calls, cpu, offcpu or time",
        ),
        (
            "/api/v1/flame?root=leaf",
            "'root' must be callers or function",
        ),
        (
            "/api/v1/flame?percentile=100",
            "'percentile' must be a number",
        ),
        (
            "/api/v1/calls?slower_than=1ms",
            "'slower_than' must be a duration in ns",
        ),
        ("/api/v1/tail", "'function' is missing"),
        (
            "/api/v1/tail?function=0&weight=cpu",
            "'weight' is not known",
        ),
        (
            "/api/v1/diff?session=last",
            "'session' must be the id of a session",
        ),
        (
            "/api/v1/diff?against_from=2&against_to=1",
            "'against_from' must be before",
        ),
        ("/api/v1/story/17", "'17' is not the id of a call"),
        (
            "/api/v1/functions/main/histogram",
            "'main' is not the id of a function",
        ),
        ("/api/v1/stack/-1", "'-1' is not the id of a stack"),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.code(), "bad_parameter", "{path}");
        assert!(
            answer.message().contains(part),
            "{path}: {}",
            answer.message()
        );
    }
}

#[tokio::test]
async fn errors_of_the_source_keep_their_meaning() {
    let router = loopback().router;
    for (path, status, code, part) in [
        (
            "/api/v1/functions/9/histogram",
            404,
            "unknown_function",
            "no function with id 9",
        ),
        ("/api/v1/series", 502, "remote", "it went away"),
        ("/api/v1/stacks", 500, "store", "disk on fire"),
        ("/api/v1/stack/5", 404, "not_found", "no stack 5"),
        ("/api/v1/heatmap?function=0", 500, "internal", "its log"),
        (
            "/api/v1/sql?query=SELECT%201",
            404,
            "not_found",
            "/api/v1/sql",
        ),
        ("/api/v2/overview", 404, "not_found", "/api/v2/overview"),
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.code(), code, "{path}");
        assert!(
            answer.message().contains(part),
            "{path}: {}",
            answer.message()
        );
        assert!(
            !answer.body.contains("a bug in the source"),
            "details stay in the log"
        );
    }
}
