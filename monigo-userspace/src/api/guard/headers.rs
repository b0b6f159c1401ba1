//! Headers of every answer.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use futures::{TryFutureExt as _, future::MapOk};
use tower::{Layer, Service};

const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers that tell browsers to be careful: a content security policy that allows nothing but the
/// server's own files, no sniffing, no referrer, no framing, no use by other origins, and no caching
/// where the answer does not say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecurityHeaders {
    https_only: bool,
}

impl SecurityHeaders {
    /// Also tells browsers to come by HTTPS only, for a year.
    #[must_use]
    pub fn https_only(mut self, yes: bool) -> Self {
        self.https_only = yes;
        self
    }

    fn add(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let common: [(HeaderName, &str); 6] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        for (name, value) in common {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(
                HeaderName::from_static("cross-origin-resource-policy"),
                HeaderValue::from_static("cross-origin"),
            );
        }
        if self.https_only {
            headers.insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

impl<S> Layer<S> for SecurityHeaders {
    type Service = WithHeaders<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithHeaders {
            inner,
            headers: *self,
        }
    }
}

/// A service whose answers carry [`SecurityHeaders`].
#[derive(Clone, Debug)]
pub struct WithHeaders<S> {
    inner: S,
    headers: SecurityHeaders,
}

impl<S> Service<Request> for WithHeaders<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = MapOk<S::Future, Box<dyn FnOnce(Response) -> Response + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let headers = self.headers;
        self.inner
            .call(request)
            .map_ok(Box::new(move |response| headers.add(response)))
    }
}
