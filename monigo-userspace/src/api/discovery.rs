//! Discovering and tracing further functions: the only requests that change anything. They are
//! refused unless a page of this very server, or no page at all, sends them (see `security`).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{App, error::ApiError};
use crate::discover::{Discoverer, Discovery, Ranking, RequestError};

/// Longest body of a request, bytes; Rust names can be long.
const LONGEST_BODY: usize = 64 << 10;
/// Most functions in an answer.
const MOST_FUNCTIONS: usize = 200;

type Shared = State<Arc<App>>;

pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/discover", get(state).post(start))
        .route("/trace", post(trace))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
}

/// Where discovering stands, and whether it is possible at all.
#[derive(Serialize)]
struct Standing {
    available: bool,
    #[serde(flatten)]
    discovery: Discovery,
}

async fn state(State(app): Shared) -> Json<Standing> {
    let discoverer = discoverer(&app).ok();
    let mut discovery = discoverer
        .as_ref()
        .map(|discoverer| discoverer.state())
        .unwrap_or_default();
    if let Some(ranking) = &mut discovery.ranking
        && ranking.functions.len() > MOST_FUNCTIONS
    {
        let functions = ranking.functions.iter().take(MOST_FUNCTIONS);
        *ranking = Arc::new(Ranking {
            functions: functions.cloned().collect(),
            ..Ranking::clone(ranking)
        });
    }
    Json(Standing {
        available: discoverer.is_some(),
        discovery,
    })
}

/// An object without fields: it makes the content type matter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn start(
    State(app): Shared,
    body: Result<Json<Nothing>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(Nothing {}) = body.map_err(|error| unreadable(&error))?;
    discoverer(&app)?.start()?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    function: String,
}

async fn trace(
    State(app): Shared,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(Wanted { function }) = body.map_err(|error| unreadable(&error))?;
    let discoverer = discoverer(&app)?;
    // Planning and attaching take their time.
    tokio::task::spawn_blocking(move || discoverer.trace(&function))
        .await
        .map_err(|error| ApiError::internal(&error))??;
    Ok(StatusCode::NO_CONTENT)
}

fn discoverer(app: &App) -> Result<Arc<dyn Discoverer>, ApiError> {
    let live = app.content.discoverer.as_ref();
    let live = live.filter(|_| !app.content.live.has_ended());
    live.cloned().ok_or_else(|| {
        ApiError::new(
            StatusCode::CONFLICT,
            "not_live",
            "this recording is over, or another monigo makes it; only the monigo that records can trace more",
        )
    })
}

fn unreadable(error: &JsonRejection) -> ApiError {
    ApiError::new(error.status(), "bad_body", error.body_text())
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let (status, code) = match &error {
            RequestError::Busy => (StatusCode::CONFLICT, "busy"),
            RequestError::Impossible(_) => (StatusCode::UNPROCESSABLE_ENTITY, "impossible"),
        };
        Self::new(status, code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr},
        sync::Mutex,
    };

    use axum::{
        body::Body,
        http::{Request, header},
    };
    use tokio::sync::{Semaphore, watch};
    use tower::ServiceExt as _;

    use super::{super::security, *};
    use crate::{
        api::{
            Content, LiveState, LiveStatus,
            security::{Access, Token},
        },
        query::{DuckSource, Source},
        service::BareService,
        store::{Database, fixture},
    };

    const BOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    const JSON: (&str, &str) = ("content-type", "application/json");

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

    fn server(access: Access, discoverer: Option<Arc<dyn Discoverer>>) -> Router {
        let mut database = Database::in_memory().unwrap();
        fixture::record(&mut database);
        let source = DuckSource::open(database.reader().unwrap(), None).unwrap();
        let (flush, flushes) = watch::channel(0);
        let (status, statuses) = watch::channel(LiveStatus::default());
        let (stop, stopping) = watch::channel(false);
        // As long as the test.
        std::mem::forget((flush, status, stop));
        let source: Arc<dyn Source> = Arc::new(source);
        let app = Arc::new(App {
            content: Content {
                service: Arc::new(BareService::new(Arc::clone(&source))),
                source,
                live: LiveState {
                    flushes,
                    status: statuses,
                },
                discoverer,
            },
            access,
            stopping,
            questions: Arc::new(Semaphore::new(1)),
            streams: Arc::new(Semaphore::new(1)),
        });
        let router = Router::new().nest("/api/v1", router());
        security::guard(router, &app).with_state(app)
    }

    async fn post(
        router: &Router,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
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
        let router = server(Access::loopback(BOUND), Some(scripted.clone()));
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
        let router = server(Access::loopback(BOUND), Some(scripted.clone()));
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
        let long = format!(r#"{{"function":"{}"}}"#, "x".repeat(LONGEST_BODY));
        assert_eq!(post(&router, POSTED[1], &[JSON], &long).await.0, 413);
        assert!(scripted.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn strangers_and_recordings_that_are_over() {
        let bound = "0.0.0.0:8080".parse().unwrap();
        let access = Access::with_token(bound, Token::known("secret"));
        let router = server(access, Some(Arc::new(Scripted::default())));
        assert_eq!(post(&router, POSTED[0], &[JSON], "{}").await.0, 401);
        let holder = [JSON, ("authorization", "Bearer secret")];
        assert_eq!(post(&router, POSTED[0], &holder, "{}").await.0, 202);

        let router = server(Access::loopback(BOUND), None);
        for (path, body) in [(POSTED[0], "{}"), (POSTED[1], r#"{"function":"f"}"#)] {
            let (status, body) = post(&router, path, &[JSON], body).await;
            assert_eq!(status, 409);
            assert!(body.contains("recording is over"), "{body}");
        }
    }
}
