//! Who may ask: the Host header on loopback, a token elsewhere; and the headers of every answer.
//!
//! A page that the user visits elsewhere can make the browser send requests here. On loopback the
//! Host header tells those that came by a rebound name; `Origin` and `Sec-Fetch-Site` tell the
//! rest. Headers of proxies (`X-Forwarded-*`) are never read.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
};
use subtle::ConstantTimeEq as _;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

use super::{App, discovery, error::ApiError};

const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A secret that lets its holder in.
pub struct Token(String);

impl Token {
    /// 128 bits from the system's generator, in hex.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// A token with a known text.
    #[cfg(test)]
    pub fn known(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Takes the same time for every wrong guess of the right length.
    fn is(&self, guess: &str) -> bool {
        self.0.as_bytes().ct_eq(guess.as_bytes()).into()
    }
}

/// Who is let in.
pub struct Access {
    bound: SocketAddr,
    token: Option<Token>,
}

impl Access {
    /// Anyone on this host who names it by a loopback name.
    pub fn loopback(bound: SocketAddr) -> Self {
        Self { bound, token: None }
    }

    /// Holders of the token.
    pub fn with_token(bound: SocketAddr, token: Token) -> Self {
        Self {
            bound,
            token: Some(token),
        }
    }

    /// What to open in a browser.
    pub fn url(&self) -> String {
        let Some(token) = &self.token else {
            return format!("http://{}/", self.bound);
        };
        let host = if self.bound.ip().is_unspecified() {
            nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .unwrap_or_else(|| "localhost".to_owned())
        } else if self.bound.is_ipv6() {
            format!("[{}]", self.bound.ip())
        } else {
            self.bound.ip().to_string()
        };
        format!("http://{host}:{}/?token={}", self.bound.port(), token.0)
    }

    /// Cookies are shared by all ports of a host, so the name holds the port.
    fn cookie_name(&self) -> String {
        format!("monigo_token_{}", self.bound.port())
    }

    /// Whether a Host header names this server by a loopback name.
    fn is_our_host(&self, host: &str) -> bool {
        let port = self.bound.port();
        let bound = self.bound.ip();
        let own = match bound {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        };
        let host = host.to_ascii_lowercase();
        ["localhost", "127.0.0.1", "[::1]", &own]
            .iter()
            .any(|name| {
                host.strip_prefix(name).is_some_and(|rest| {
                    rest == format!(":{port}") || (rest.is_empty() && port == 80)
                })
            })
    }

    /// Whether the request carries the token as a cookie or a bearer token.
    fn has_token(&self, token: &Token, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let name = self.cookie_name();
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        bearer
            .into_iter()
            .chain(cookies)
            .any(|guess| token.is(guess))
    }
}

/// Puts the guards and the common headers around the routes.
pub fn guard(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(app), admit))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal(&"a handler panicked").into_response()
        }))
        .layer(middleware::map_response(add_headers))
}

async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let common: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in common {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app.access, &request) {
        Ok(None) => next.run(request).await,
        Ok(Some(response)) => response,
        Err(error) => error.into_response(),
    }
}

/// Lets a request through (`None`), answers it at the door, or refuses it.
fn check(access: &Access, request: &Request<Body>) -> Result<Option<Response>, ApiError> {
    let headers = request.headers();
    let host = host_of(request);
    if access.token.is_none() && !host.is_some_and(|host| access.is_our_host(host)) {
        return Err(forbidden(format!(
            "the Host header must name this server, for example localhost:{}",
            access.bound.port()
        )));
    }
    let posted =
        *request.method() == Method::POST && discovery::POSTED.contains(&request.uri().path());
    if posted {
        check_post(headers)?;
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let error = ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "monigo's API answers GET only, except for /discover and /trace",
        );
        let allow = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return Ok(Some((allow, error).into_response()));
    }
    if let Some(token) = &access.token
        && !access.has_token(token, headers)
    {
        return match token_parameter(request.uri()) {
            Some(guess) if token.is(guess) => Ok(Some(welcome(access, token))),
            _ => Ok(Some(refuse_stranger(request.uri()))),
        };
    }
    if request.uri().path().starts_with("/api") {
        check_origin(host, headers)?;
    }
    Ok(None)
}

/// Refuses what a page of another origin can send without asking first: forms have other content
/// types, and the question (a preflight) is refused. `Origin` is checked as for all requests; browsers
/// send it with each POST.
fn check_post(headers: &HeaderMap) -> Result<(), ApiError> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().unwrap_or("").trim() == "application/json");
    if !json {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "the body must be JSON, with Content-Type: application/json",
        ));
    }
    // Nothing that a user types into the address bar is a POST.
    if headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin")
    {
        return Err(forbidden(
            "only the dashboard's own pages may change anything",
        ));
    }
    Ok(())
}

/// Refuses what a page of another origin asked for.
fn check_origin(host: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        host.is_none_or(|host| origin != format!("http://{}", host.to_ascii_lowercase()))
    });
    let foreign_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    if foreign_origin || foreign_site {
        return Err(forbidden(
            "requests from pages of other origins are refused",
        ));
    }
    Ok(())
}

fn host_of(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        // HTTP/2 has the name in the URI.
        (None, None) => request.uri().authority().map(Authority::as_str),
        _ => None,
    }
}

fn token_parameter(uri: &Uri) -> Option<&str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

/// Swaps the token in the URL for a cookie. A page that moves on by itself, not a redirect: a
/// redirect after a click in another site's page would not carry a `SameSite=Strict` cookie.
fn welcome(access: &Access, token: &Token) -> Response {
    let cookie = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Strict",
        access.cookie_name(),
        token.0
    );
    let page = "<!doctype html><html lang=en><meta charset=utf-8>\
        <meta http-equiv=refresh content=\"0;url=/\"><title>monigo</title>\
        <p><a href=\"/\">Open the dashboard</a>";
    let Ok(cookie) = HeaderValue::try_from(cookie) else {
        return ApiError::internal(&"the cookie is not a header value").into_response();
    };
    ([(header::SET_COOKIE, cookie)], Html(page)).into_response()
}

fn refuse_stranger(uri: &Uri) -> Response {
    let message = "open the address with the token that monigo printed when it started";
    if uri.path().starts_with("/api") {
        return ApiError::new(StatusCode::UNAUTHORIZED, "token_needed", message).into_response();
    }
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>monigo</title>\
         <h1>This dashboard needs its token</h1><p>To get in, {message}."
    );
    (StatusCode::UNAUTHORIZED, Html(page)).into_response()
}

fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
}
