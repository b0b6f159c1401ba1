//! Errors as the API reports them: `{"error":{"code":…,"message":…}}`.

use std::{fmt, time::Duration};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::{OpenError, QueryError};

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorText,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorText {
    /// Stable, for programs.
    code: &'static str,
    /// A sentence for people.
    message: String,
}

/// An answer that is not one.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// An error with a stable code for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A parameter that cannot be used.
    pub fn parameter(name: &str, problem: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_parameter",
            format!("parameter '{name}' {problem}"),
        )
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The source took too long.
    pub fn timeout(limit: Duration) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!(
                "the database did not answer within {} s; try a shorter time window",
                limit.as_secs()
            ),
        )
    }

    /// A request took too long, or its body did.
    pub fn too_slow(limit: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            format!("the request was not answered within {} s", limit.as_secs()),
        )
    }

    /// The server is going away.
    pub fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "monigo is shutting down",
        )
    }

    /// A fault of monigo's own. The details go to the log, not to the network.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!("answering a dashboard request failed: {error}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "monigo failed to answer this; its log on stderr says more",
        )
    }
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::UnknownSession { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unknown_session", error.to_string())
            }
            OpenError::NoSession => Self::new(
                StatusCode::NOT_FOUND,
                "no_session",
                "nothing was recorded yet; a session begins when a target is found",
            ),
            OpenError::Query(error) => error.clone().into(),
            OpenError::Store(_) if error.may_pass() => {
                QueryError::Unavailable(error.to_string()).into()
            }
            OpenError::Store(_) => QueryError::Store(error.to_string()).into(),
            OpenError::HeldElsewhere { .. } => QueryError::Remote(error.to_string()).into(),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let (status, code) = match &error {
            QueryError::Sql(_) => (StatusCode::BAD_REQUEST, "sql"),
            QueryError::UnknownFunction(_) => (StatusCode::NOT_FOUND, "unknown_function"),
            QueryError::Selection(_) => (StatusCode::BAD_REQUEST, "bad_selection"),
            QueryError::NoSuchCalls(_) => (StatusCode::NOT_FOUND, "no_such_calls"),
            QueryError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            QueryError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
            QueryError::Remote(_) => (StatusCode::BAD_GATEWAY, "remote"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = ErrorText {
            code: self.code,
            message: self.message,
        };
        (self.status, Json(ErrorBody { error })).into_response()
    }
}
