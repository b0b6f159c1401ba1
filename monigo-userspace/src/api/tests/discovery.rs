//! Discovering and tracing further functions.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{BOUND, TOKEN, content};
use crate::{
    api::{Content, HttpSettings, LiveState, LiveStatus, Secret, guard::Guards, router},
    discover::{Discoverer, Discovery, RequestError},
};

const JSON: (&str, &str) = ("content-type", "application/json");
const POSTED: [&str; 2] = ["/api/v1/discover", "/api/v1/trace"];

/// Remembers what it was asked to do.
#[derive(Default)]
struct Scripted(Mutex<Vec<String>>);

impl Discoverer for Scripted {
    fn start(&self) -> Result<(), RequestError> {
        let mut asked = self.0.lock().unwrap();
        asked.push("start".to_owned());
        if asked.len() > 1 {
            return Err(RequestError::Busy);
        }
        Ok(())
    }
    fn stop(&self) {}
    fn state(&self) -> Discovery {
        Discovery::default()
    }
    fn trace(&self, name: &str) -> Result<(), RequestError> {
        self.0.lock().unwrap().push(name.to_owned());
        match name {
            "gone" => Err(RequestError::Impossible("there is no gone".to_owned())),
            _ => Ok(()),
        }
    }
}

fn server(
    settings: &HttpSettings,
    bound: SocketAddr,
    discoverer: Option<Arc<dyn Discoverer>>,
) -> Router {
    let (flush, flushes) = watch::channel(0);
    let (tell, status) = watch::channel(LiveStatus::default());
    let (stop, stopping) = watch::channel(false);
    // As long as the test.
    std::mem::forget((flush, tell, stop));
    let content = Content {
        discoverer,
        ..content(
            Arc::new(super::Scripted::default()),
            LiveState { flushes, status },
        )
    };
    let guards = Guards::new(settings, Some(bound)).expect("settings");
    router(content.into(), settings, guards, stopping)
}

fn local(discoverer: Option<Arc<dyn Discoverer>>) -> Router {
    server(&HttpSettings::default(), BOUND, discoverer)
}

async fn post(router: &Router, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = Request::post(path).header(header::HOST, "localhost:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
    (status, String::from_utf8_lossy(&body.unwrap()).into_owned())
}

#[tokio::test]
async fn functions_are_looked_for_and_traced() {
    let scripted = Arc::new(Scripted::default());
    let router = local(Some(scripted.clone()));
    assert_eq!(post(&router, POSTED[0], &[JSON], "{}").await.0, 202);
    let (status, body) = post(&router, POSTED[0], &[JSON], "{}").await;
    assert_eq!(status, 409);
    assert!(body.contains("is going on"), "{body}");
    let same_origin = [
        JSON,
        ("origin", "http://localhost:8080"),
        ("sec-fetch-site", "same-origin"),
    ];
    let wanted = r#"{"function":"main.work"}"#;
    assert_eq!(post(&router, POSTED[1], &same_origin, wanted).await.0, 204);
    let (status, body) = post(&router, POSTED[1], &[JSON], r#"{"function":"gone"}"#).await;
    assert_eq!(status, 422);
    assert!(body.contains("there is no gone"), "{body}");
    let asked = scripted.0.lock().unwrap().clone();
    assert_eq!(asked, ["start", "start", "main.work", "gone"]);
}

#[tokio::test]
async fn pages_of_others_change_nothing() {
    let scripted = Arc::new(Scripted::default());
    let router = local(Some(scripted.clone()));
    let refused: [(u16, &[(&str, &str)]); 8] = [
        (415, &[]),
        (415, &[("content-type", "text/plain")]),
        (
            415,
            &[("content-type", "application/x-www-form-urlencoded")],
        ),
        (403, &[JSON, ("origin", "http://evil.example")]),
        (403, &[JSON, ("origin", "http://localhost:8081")]),
        (403, &[JSON, ("origin", "null")]),
        (403, &[JSON, ("sec-fetch-site", "cross-site")]),
        (403, &[JSON, ("sec-fetch-site", "none")]),
    ];
    for path in POSTED {
        for (expected, headers) in refused {
            let (status, body) = post(&router, path, headers, r#"{"function":"f"}"#).await;
            assert_eq!(status, expected, "{path} {headers:?}: {body}");
        }
    }
    for (path, body) in [(POSTED[0], "[1]"), (POSTED[1], "{}"), (POSTED[1], "{")] {
        let (status, _) = post(&router, path, &[JSON], body).await;
        assert!((400..500).contains(&status), "{path} {body}: {status}");
    }
    let long = format!(r#"{{"function":"{}"}}"#, "x".repeat(64 << 10));
    assert_eq!(post(&router, POSTED[1], &[JSON], &long).await.0, 413);
    assert!(scripted.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn strangers_and_recordings_that_are_over() {
    let bound = "0.0.0.0:8080".parse().unwrap();
    let mut settings = HttpSettings::default();
    settings.auth.token = Some(Secret::new(TOKEN));
    let router = server(&settings, bound, Some(Arc::new(Scripted::default())));
    assert_eq!(post(&router, POSTED[0], &[JSON], "{}").await.0, 401);
    let bearer = format!("Bearer {TOKEN}");
    let holder = [JSON, ("authorization", bearer.as_str())];
    assert_eq!(post(&router, POSTED[0], &holder, "{}").await.0, 202);

    let router = local(None);
    for (path, body) in [(POSTED[0], "{}"), (POSTED[1], r#"{"function":"f"}"#)] {
        let (status, body) = post(&router, path, &[JSON], body).await;
        assert_eq!(status, 409);
        assert!(body.contains("recording is over"), "{body}");
    }
}
