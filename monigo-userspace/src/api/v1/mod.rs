//! The API of the service around the calls, under a base path that is `/monigo/api/v1` by default, and
//! `/healthz`, `/readyz` and `/metrics` at the root.
//!
//! Names are those of the `MoniGo` library. Every route is in the `OpenAPI` document that the server
//! hands out, because routes are added by their descriptions.

mod body;
mod details;
mod document;
mod functions;
mod probes;
mod profile;
mod series;
mod service;
mod sessions;

use std::sync::Arc;

use axum::{Router, extract::OriginalUri, http::StatusCode};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::document::Schemes;
use super::{Common, error::ApiError, events};

/// The routes with their description.
pub fn routes(base: &str, schemes: Schemes) -> (Router<Arc<Common>>, utoipa::openapi::OpenApi) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(sessions::sessions))
        .routes(routes!(service::service_info))
        .routes(routes!(service::metrics))
        .routes(routes!(series::service_metrics))
        .routes(routes!(series::reports))
        .routes(routes!(functions::function))
        .routes(routes!(details::function_details))
        .routes(routes!(service::go_routines_stats))
        .routes(routes!(service::exporters))
        .routes(routes!(service::settings))
        .routes(routes!(events::service_events))
        .routes(routes!(document::openapi));
    let (router, mut document) = OpenApiRouter::with_openapi(document::Monigo::openapi())
        .nest(base, v1)
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::prometheus))
        .split_for_parts();
    document::complete(&mut document, schemes);
    let unknown = {
        let base: Arc<str> = base.into();
        move |OriginalUri(uri): OriginalUri| {
            let base = Arc::clone(&base);
            async move {
                ApiError::not_found(format!(
                    "there is no {}; {base}/openapi.json lists what there is",
                    uri.path()
                ))
            }
        }
    };
    let router = router
        .route(base, axum::routing::any(unknown.clone()))
        .route(&format!("{base}/{{*rest}}"), axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_method);
    (router, document)
}

/// The answer to a method that a route does not take; the router adds `Allow`.
pub async fn wrong_method(method: axum::http::Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not answered here; the header Allow names the methods that are"),
    )
}
