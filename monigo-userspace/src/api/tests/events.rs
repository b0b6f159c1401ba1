//! Server-sent events.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::{get, loopback};
use crate::api::{LiveStatus, MAX_STREAMS};

/// Reads a stream of events until `count` of the kind `name` came.
pub async fn events(body: &mut Body, name: &str, count: usize) -> Vec<String> {
    let mut text = String::new();
    loop {
        let found: Vec<String> = text
            .split("\n\n")
            .filter(|event| event.contains(&format!("event: {name}\n")))
            .map(str::to_owned)
            .collect();
        if found.len() >= count {
            return found;
        }
        let frame = body.frame().await.expect("an open stream").unwrap();
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
}

async fn open_events(router: &Router) -> Body {
    let request = Request::get("/api/v1/events")
        .header(header::HOST, "localhost:8080")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    assert!(response.headers().get(header::CONTENT_ENCODING).is_none());
    response.into_body()
}

#[tokio::test]
async fn each_flush_is_an_event() {
    let fixture = loopback();
    let mut body = open_events(&fixture.router).await;
    let first = events(&mut body, "flush", 1).await;
    assert!(first[0].contains("data: {\"sequence\":0}"), "{first:?}");
    for sequence in 1..=3 {
        fixture.flush.send_replace(sequence);
        let next = events(&mut body, "flush", 1).await;
        assert!(next[0].contains(&format!("data: {{\"sequence\":{sequence}}}")));
        assert!(next[0].contains(&format!("id: {sequence}")));
    }
    fixture.status.send_replace(LiveStatus {
        text: "the target ended".to_owned(),
        ended: true,
        ..LiveStatus::default()
    });
    let status = events(&mut body, "ended", 1).await;
    assert_eq!(status.len(), 1);
    fixture.stop.send_replace(true);
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

#[tokio::test]
async fn a_recorder_that_goes_away_ends_the_recording() {
    let fixture = loopback();
    let mut body = open_events(&fixture.router).await;
    events(&mut body, "flush", 1).await;
    drop(fixture.flush);
    events(&mut body, "ended", 1).await;
}

#[tokio::test]
async fn streams_are_bounded_and_given_back() {
    let fixture = loopback();
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        open.push(open_events(&fixture.router).await);
    }
    let answer = get(&fixture.router, "/api/v1/events").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "too_many_streams");
    open.pop();
    // Succeeds only with the place that was given back.
    drop(open_events(&fixture.router).await);
}
