//! Guards: who is answered. Each is a [`tower`] layer of its own, to be put around any axum router:
//!
//! ```
//! use axum::{Router, routing::get};
//! use monigo::api::guard::{AllowList, ClientAddress, Guard, SecurityHeaders};
//!
//! let networks = vec!["127.0.0.0/8".parse()?];
//! let router: Router = Router::new()
//!     .route("/", get(async || "for this host only"))
//!     .layer(Guard::new(AllowList::new(networks)))
//!     .layer(Guard::new(ClientAddress::default()))
//!     .layer(SecurityHeaders::default());
//! # Ok::<(), ipnet::AddrParseError>(())
//! ```
//!
//! Layers that are added later come earlier. [`AllowList`] and [`RateLimit`] need [`ClientAddress`] before
//! them.

mod allow;
mod authentication;
mod basic;
mod client;
mod credentials;
mod headers;
mod host;
mod keys;
mod layer;
mod origin;
mod rate;
mod stack;
#[cfg(test)]
mod tests;
mod whole;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};

pub use self::stack::GuardError;
pub use self::{
    allow::AllowList,
    authentication::{Authentication, TokenAccess},
    basic::{BasicAuth, BasicAuthError, hash_password},
    client::{Client, ClientAddress},
    headers::SecurityHeaders,
    host::HostCheck,
    keys::{ApiKeyError, ApiKeys},
    layer::{Check, Guard, Guarded},
    origin::OriginCheck,
    rate::RateLimit,
};
pub(super) use self::{rate::network_of, stack::Guards};
use super::error::ApiError;

/// Refuses in the words of the API, or as a page where a browser navigates.
fn refuse(
    headers: &HeaderMap,
    status: StatusCode,
    code: &'static str,
    title: &str,
    message: &str,
) -> Response {
    let page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if !page {
        return ApiError::new(status, code, message).into_response();
    }
    // Both texts are monigo's own.
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>monigo</title>\
         <h1>{title}</h1><p>{message}."
    );
    (status, Html(page)).into_response()
}

fn forbidden(message: impl Into<String>) -> Response {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", message).into_response()
}
