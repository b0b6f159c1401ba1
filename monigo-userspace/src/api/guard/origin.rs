//! What pages of other origins may do: nothing, unless they are listed.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, header},
    response::Response,
};

use super::{Check, forbidden, host::host_of};

/// Refuses requests that pages of other origins make browsers send. Handlers that change anything should
/// insist on JSON as well: a form has another content type, and for JSON a browser asks first.
///
/// Origins that are listed may read; answering them with CORS headers is `tower_http::cors`'s task.
#[derive(Clone, Debug, Default)]
pub struct OriginCheck {
    allowed: Vec<String>,
    https: bool,
    prefixes: Vec<String>,
}

impl OriginCheck {
    /// Also answers pages of these origins, for example `https://grafana.example.org`.
    pub fn allowing(origins: Vec<String>) -> Self {
        Self {
            allowed: origins,
            ..Self::default()
        }
    }

    /// The server speaks HTTPS itself, so that pages that came by HTTP are not its own.
    #[must_use]
    pub fn https_only(mut self, yes: bool) -> Self {
        self.https = yes;
        self
    }

    /// Only paths that begin like this are guarded; by default all are. Pages themselves may be linked to from
    /// anywhere.
    #[must_use]
    pub fn below(mut self, prefixes: impl IntoIterator<Item = String>) -> Self {
        self.prefixes = prefixes.into_iter().collect();
        self
    }

    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        let host = host.map(str::to_ascii_lowercase);
        let of_host = |scheme: &str| {
            let rest = origin.strip_prefix(scheme);
            rest.is_some() && rest == host.as_deref()
        };
        of_host("https://") || (!self.https && of_host("http://"))
    }

    fn judge(&self, request: &Request) -> Result<(), &'static str> {
        let headers = request.headers();
        let changes = !matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        let path = request.uri().path();
        let guarded = self.prefixes.is_empty()
            || self
                .prefixes
                .iter()
                .any(|prefix| path.starts_with(prefix.as_str()));
        if !guarded && !changes {
            return Ok(());
        }
        let origin = headers.get(header::ORIGIN);
        let origin = origin.map(|origin| origin.to_str().unwrap_or_default().to_ascii_lowercase());
        if origin
            .as_ref()
            .is_some_and(|origin| self.allowed.contains(origin))
        {
            return Ok(());
        }
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        // Nothing that a user types into the address bar is a POST.
        let own_site = match site {
            None | Some(b"same-origin") => true,
            Some(b"none") => !changes,
            Some(_) => false,
        };
        let own_origin = origin.is_none_or(|origin| self.is_own(&origin, host_of(request)));
        if !own_site || !own_origin {
            return Err(if changes {
                "only the dashboard's own pages may change or ask anything by POST; others are listed in listen.cors_origins"
            } else {
                "requests from pages of other origins are refused; those to answer are listed in listen.cors_origins"
            });
        }
        Ok(())
    }
}

impl Check for OriginCheck {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        self.judge(&request).map_err(forbidden)?;
        Ok(request)
    }
}
