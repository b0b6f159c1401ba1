//! Discovering and tracing further functions: the only requests that change anything. They are
//! refused unless a page of this very server, or no page at all, sends them (see `security`).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, rejection::JsonRejection},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{App, Chosen, Common, error::ApiError};
use crate::discover::{Discoverer, Discovery, Ranking, RequestError};

/// Longest body of a request, bytes; Rust names can be long.
const LONGEST_BODY: usize = 64 << 10;
/// Most functions in an answer.
const MOST_FUNCTIONS: usize = 200;

pub fn router() -> Router<Arc<Common>> {
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

async fn state(Chosen(app): Chosen) -> Json<Standing> {
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
    Chosen(app): Chosen,
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
    Chosen(app): Chosen,
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
