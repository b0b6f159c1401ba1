//! Several sessions behind one server.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{BOUND, content, get, loopback};
use crate::{
    api::{Guards, HttpSettings, LiveState, LiveStatus, Sessions, router},
    query::DuckSource,
    store::{Batch, Database, NewSession, Store as _, fixture},
};

/// Two sessions of a database: one over, one that goes on.
struct Two {
    database: Database,
    sessions: Arc<Sessions>,
    router: Router,
    _keep: watch::Sender<bool>,
}

fn two() -> Two {
    let mut database = Database::in_memory().unwrap();
    fixture::record(&mut database);
    let sessions = Arc::new(Sessions::of(database.reader().unwrap()));
    let session = NewSession {
        label: Some("shop".to_owned()),
        target_path: "/srv/shop".to_owned(),
        ..fixture::session()
    };
    let session = database.begin_session(&session).unwrap();
    assert_eq!(session, 2);
    let (stop, stopping) = watch::channel(false);
    let settings = HttpSettings::default();
    let bound: SocketAddr = BOUND;
    let guards = Guards::new(&settings, Some(bound)).unwrap();
    Two {
        router: router(Arc::clone(&sessions), &settings, guards, stopping),
        database,
        sessions,
        _keep: stop,
    }
}

/// Begins the second, as its own process would.
fn begin(two: &Two, label: &str) -> watch::Sender<LiveStatus> {
    let source = DuckSource::open(two.database.reader().unwrap(), Some(2)).unwrap();
    let (flush, flushes) = watch::channel(0);
    let (tell, status) = watch::channel(LiveStatus::default());
    std::mem::forget(flush);
    let content = content(Arc::new(source), LiveState { flushes, status });
    two.sessions.begin(2, Some(label.to_owned()), content);
    tell
}

#[tokio::test]
async fn every_question_is_about_the_session_that_is_named() {
    let two = two();
    let _live = begin(&two, "shop");
    let paths = [
        "/api/v1/overview",
        "/api/v1/functions",
        "/api/v1/flame",
        "/api/v1/discover",
        "/api/v1/calls?limit=5",
        "/monigo/api/v1/function",
        "/monigo/api/v1/service-info",
    ];
    for path in paths {
        let and = if path.contains('?') { '&' } else { '?' };
        for session in ["1", "2"] {
            let answer = get(&two.router, &format!("{path}{and}session={session}")).await;
            assert_eq!(answer.status, 200, "{path} {session}: {}", answer.body);
        }
        let unknown = get(&two.router, &format!("{path}{and}session=9")).await;
        assert_eq!(unknown.status, 404, "{path}");
        assert_eq!(unknown.code(), "unknown_session", "{path}");
        assert!(unknown.message().contains("sessions 1, 2"), "{path}");
        let wrong = get(&two.router, &format!("{path}{and}session=last")).await;
        assert_eq!(wrong.status, 400, "{path}");
    }
    let calls = async |query: &str| {
        let path = format!("/monigo/api/v1/function{query}");
        let rows = get(&two.router, &path).await.json();
        rows[0]["calls"].clone()
    };
    assert_eq!(calls("?session=1").await, 1001);
    assert_eq!(calls("?session=2").await, 0);
    assert_eq!(calls("").await, 0, "the one that goes on");
    let events = get(&two.router, "/monigo/api/v1/events?session=9").await;
    assert_eq!(events.status, 404);
    let other = get(&two.router, "/healthz?session=1").await;
    assert_eq!(other.status, 400, "it is not about a session");
}

#[tokio::test]
async fn what_ends_is_shown_as_it_was_stored() {
    let mut two = two();
    let live = begin(&two, "shop");
    let overview = async |two: &Two| get(&two.router, "/api/v1/overview?session=2").await.json();
    assert_eq!(overview(&two).await["status"]["ended"], false);
    let at_ns = fixture::START + fixture::SECOND;
    let batch = Batch {
        at_ns,
        ..Batch::default()
    };
    two.database.append(2, &batch).unwrap();
    two.database.end_session(2, at_ns).unwrap();
    two.sessions.end(2);
    drop(live);
    assert_eq!(overview(&two).await["status"]["ended"], true);
    let told = get(&two.router, "/monigo/api/v1/sessions").await.json();
    assert_eq!(told[0]["running"], false, "{told}");
    assert_eq!(told[0]["ended"], "2025-11-24T16:00:01.000Z", "{told}");
}

#[tokio::test]
async fn sessions_are_listed() {
    let two = two();
    let _live = begin(&two, "shop");
    let told = get(&two.router, "/monigo/api/v1/sessions").await.json();
    assert_eq!(
        told[0],
        json!({
            "id": 2, "label": "shop", "target": "/srv/shop", "language": "go", "process_id": null,
            "process_ids": [], "started": "2025-11-24T16:00:00.000Z", "ended": null, "running": true,
        })
    );
    assert_eq!(
        (&told[1]["id"], &told[1]["label"]),
        (&json!(1), &json!("orders"))
    );
    let one = loopback();
    let told = get(&one.router, "/monigo/api/v1/sessions").await.json();
    assert_eq!(told.as_array().map(Vec::len), Some(1));
    assert_eq!(told[0]["id"], 7);
    let other = get(&one.router, "/api/v1/overview?session=8").await;
    assert_eq!(
        (other.status.as_u16(), other.code().as_str()),
        (404, "unknown_session")
    );
}

#[tokio::test]
async fn before_anything_is_recorded() {
    let database = Database::in_memory().unwrap();
    let sessions = Arc::new(Sessions::of(database.reader().unwrap()));
    let (_stop, stopping) = watch::channel(false);
    let settings = HttpSettings::default();
    let guards = Guards::new(&settings, Some(BOUND)).unwrap();
    let router = router(sessions, &settings, guards, stopping);
    let answer = get(&router, "/api/v1/overview").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (404, "no_session")
    );
    let told = get(&router, "/monigo/api/v1/sessions").await;
    assert_eq!(told.json(), json!([]));
    let ready = get(&router, "/readyz").await.json();
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(get(&router, "/metrics").await.body, "");
}

#[tokio::test]
async fn readiness_and_metrics_name_the_target() {
    let two = two();
    let live = begin(&two, "shop");
    live.send_replace(LiveStatus {
        flushed: Some(std::time::Instant::now()),
        store_error: Some("disk full".to_owned()),
        ..LiveStatus::default()
    });
    let ready = get(&two.router, "/readyz").await;
    assert_eq!(ready.status, 503);
    let checks = ready.json()["checks"].clone();
    let wrong: Vec<&Value> = checks
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["ok"] == false)
        .collect();
    assert_eq!(wrong[0]["name"], "store shop", "{checks}");
    let text = get(&two.router, "/metrics").await.body;
    assert!(
        text.contains(
            "monigo_function_calls_total{target=\"shop\",function=\"main.process_order\""
        ),
        "{text}"
    );
}
