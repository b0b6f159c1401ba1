//! What is known of one function, as text or as a picture.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

use super::profile::{self, Kind};
use crate::{
    api::{Chosen, error::ApiError, params::Params},
    query::QueryError,
};

/// A traced function in detail
///
/// Made from what was recorded: of each function, about 1,000 calls a second at most, and the slowest ones.
#[utoipa::path(
    get,
    path = "/function-details",
    tag = "functions",
    params(
        ("name" = String, Query, description = "Name of a traced function, as `function` tells it"),
        ("reportType" = Option<Kind>, Query, description = "Kind of report; text when absent"),
    ),
    responses(
        (
            status = OK,
            description = "The report; a flame graph is SVG",
            content((String = "text/plain"), (String = "image/svg+xml")),
        ),
        (status = NOT_FOUND, description = "No such function is traced, or none of its calls was recorded with a stack", body = crate::api::error::ErrorBody),
    ),
)]
pub async fn function_details(Chosen(app): Chosen, params: Params) -> Result<Response, ApiError> {
    let params = params.only(&["name", "reportType"])?;
    let name = params
        .text("name")
        .ok_or_else(|| ApiError::parameter("name", "is missing"))?;
    let kind = match params.text("reportType") {
        None => Kind::Text,
        Some(text) => Kind::of_name(&text).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            ApiError::parameter("reportType", format_args!("must be one of {names}"))
        })?,
    };
    let made = app
        .ask(move |source| match profile::make(source, &name, kind) {
            Err(profile::Missing::Query(error)) => Err(error),
            Ok(text) => Ok(Ok(text)),
            Err(other) => Ok(Err(other)),
        })
        .await?;
    let text = made.map_err(|missing| ApiError::not_found(missing.to_string()))?;
    let content = match kind {
        Kind::Flamegraph => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    Ok(([(header::CONTENT_TYPE, content)], text).into_response())
}

impl From<QueryError> for profile::Missing {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}
