//! The front end, embedded at build time from `dashboard/dist`.

use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{Common, error::ApiError, v1::wrong_method};

#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Dist;

/// Shown when monigo was built without the front end.
const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>monigo</title>\
    <h1>The dashboard is not part of this build</h1>\
    <p>Build monigo with <code>cargo xtask build</code>, which builds the dashboard first. \
    The API works: <a href=\"/api/v1/overview\">/api/v1/overview</a>.";

const PAGE: &str = "index.html";
/// Vite puts files whose names hold a hash of their content here.
const HASHED: &str = "assets/";

/// A file of the front end, or its page for any path that is not a file.
pub async fn asset(State(common): State<Arc<Common>>, method: Method, uri: Uri) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return (allow, wrong_method(method).await).into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Dist::get(path) {
        if path == PAGE {
            return page(file, &common.base_path);
        }
        return respond(path, file);
    }
    if path.starts_with(HASHED)
        || path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.contains('.'))
    {
        return ApiError::not_found(format!("there is no /{path}")).into_response();
    }
    match Dist::get(PAGE) {
        Some(file) => page(file, &common.base_path),
        None => (StatusCode::OK, Html(NOT_BUILT)).into_response(),
    }
}

/// The page, told where the API of the service is.
fn page(mut file: EmbeddedFile, base_path: &str) -> Response {
    const DEFAULT: &str = r#"<meta name="monigo-api" content="monigo/api/v1""#;
    let base = base_path.trim_start_matches('/');
    if let Ok(text) = std::str::from_utf8(&file.data) {
        let own = format!(r#"<meta name="monigo-api" content="{base}""#);
        let text = text.replacen(DEFAULT, &own, 1);
        file.data = Cow::Owned(text.into_bytes());
    }
    respond(PAGE, file)
}

fn respond(path: &str, file: EmbeddedFile) -> Response {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let kind = if kind.type_() == mime_guess::mime::TEXT {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_string()
    };
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let kind =
        HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, file.data).into_response()
}
