//! Files to keep: the flame graph as SVG or folded stacks, the function table as CSV.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{App, error::ApiError, params::Params};

/// `GET flamegraph.svg`.
pub async fn svg(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let _ = (app, params);
    Err(later())
}

/// `GET flamegraph.folded`.
pub async fn folded(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let _ = (app, params);
    Err(later())
}

/// `GET functions.csv`.
pub async fn csv(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let _ = (app, params);
    let _ = attachment("a", "b", Vec::new());
    Err(later())
}

fn later() -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "later", "not built yet")
}

fn attachment(name: &str, kind: &'static str, body: Vec<u8>) -> Response {
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body).into_response()
}
