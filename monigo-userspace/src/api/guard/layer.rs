//! One layer for all guards.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use futures::{FutureExt as _, future::BoxFuture};
use tower::{Layer, Service};

/// Decides about a request.
pub trait Check: Send + Sync + 'static {
    /// Lets the request through, perhaps with something added to it, or answers it.
    fn check(&self, request: Request) -> impl Future<Output = Result<Request, Response>> + Send;
}

/// The layer of a [`Check`].
#[derive(Debug)]
pub struct Guard<C>(Arc<C>);

impl<C> Guard<C> {
    /// Guards what comes behind it with `check`.
    pub fn new(check: C) -> Self {
        Self(Arc::new(check))
    }
}

impl<C> Clone for Guard<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, C> Layer<S> for Guard<C> {
    type Service = Guarded<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            inner,
            check: Arc::clone(&self.0),
        }
    }
}

/// A service behind a [`Check`].
#[derive(Debug)]
pub struct Guarded<S, C> {
    inner: S,
    check: Arc<C>,
}

impl<S: Clone, C> Clone for Guarded<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            check: Arc::clone(&self.check),
        }
    }
}

impl<S, C> Service<Request> for Guarded<S, C>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    C: Check,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that was polled ready is used, its copy stays.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let check = Arc::clone(&self.check);
        async move {
            match check.check(request).await {
                Ok(request) => inner.call(request).await,
                Err(response) => Ok(response),
            }
        }
        .boxed()
    }
}
