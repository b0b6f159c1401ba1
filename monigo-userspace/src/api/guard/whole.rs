//! Bodies of requests arrive in time and are not too long, whatever is made of them.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use http_body_util::LengthLimitError;

use crate::api::error::ApiError;

/// What is asked of a body.
#[derive(Clone, Copy, Debug)]
pub struct Bodies {
    /// Longest, bytes.
    pub max_bytes: usize,
    /// Longest time from the head to the end of the body.
    pub limit: Duration,
}

/// Reads the body before anything else is done, so that a slow one holds nothing but its connection.
pub async fn whole(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let lower = body.size_hint().lower();
    if usize::try_from(lower).is_ok_and(|bytes| bytes > bodies.max_bytes) {
        return too_long(bodies.max_bytes);
    }
    let read = axum::body::to_bytes(body, bodies.max_bytes);
    match tokio::time::timeout(bodies.limit, read).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(error)) if is_length(&error) => too_long(bodies.max_bytes),
        Ok(Err(_)) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_body",
            "the body of the request broke off",
        )
        .into_response(),
        Err(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            format!(
                "the body of the request did not arrive within {} s",
                bodies.limit.as_secs()
            ),
        )
        .into_response(),
    }
}

fn is_length(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<LengthLimitError>())
        .is_some()
}

fn too_long(max_bytes: usize) -> Response {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "bad_body",
        format!("the body is longer than {max_bytes} bytes"),
    )
    .into_response()
}
