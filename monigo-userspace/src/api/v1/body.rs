//! Bodies of requests.

use axum::{
    Json,
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
};
use serde::de::DeserializeOwned;

use crate::api::error::ApiError;

/// JSON, refused in a sentence that names what is wrong.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Json::<T>::from_request(request, state)
            .await
            .map(|Json(body)| Self(body))
            .map_err(|rejection| unreadable(&rejection))
    }
}

/// Why a body cannot be used.
pub fn unreadable(rejection: &JsonRejection) -> ApiError {
    let status = match rejection {
        // A value that is not possible is as wrong as a text that is not JSON.
        JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
        other => other.status(),
    };
    ApiError::new(status, "bad_body", rejection.body_text())
}
