//! Views: the dashboard server.
//!
//! [`serve`] answers REST questions under `/api/v1` from one [`Source`], announces each flush as a
//! server-sent event, and hands out the embedded front end. Requests read, with two exceptions in `discovery`:
//! looking for functions, and tracing one more. There is no SQL here.

mod assets;
mod discovery;
mod downloads;
mod error;
mod events;
mod listen;
pub mod live;
mod params;
mod routes;
mod security;
mod settings;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use self::{
    error::ApiError,
    security::{Access, Token},
};
pub use self::{
    listen::{Holder, ServeError},
    live::{LiveState, LiveStatus},
    settings::{AuthSettings, HttpSettings, ListenSettings, Secret, TlsSettings},
};
use crate::{
    discover::Discoverer,
    query::{QueryError, Source},
    service::Service,
};

/// Questions answered at the same time; more wait their turn.
const CONCURRENT_QUESTIONS: usize = 4;
/// Event streams open at the same time.
const MAX_STREAMS: usize = 64;
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that open connections get to finish at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a server shows.
#[derive(Clone)]
pub struct Content {
    /// Calls.
    pub source: Arc<dyn Source>,
    /// Identity, resources, health, goroutines, exporters.
    pub service: Arc<dyn Service>,
    /// Where the recording stands.
    pub live: LiveState,
    /// Finds and traces further functions of a recording that this process makes.
    pub discoverer: Option<Arc<dyn Discoverer>>,
}

/// What the handlers share.
struct App {
    content: Content,
    access: Access,
    stopping: watch::Receiver<bool>,
    questions: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl App {
    /// Puts a question to the source on a blocking thread.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Source) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let answer = async {
            // The semaphore is never closed, so this waits rather than fails.
            let permit = Arc::clone(&self.questions)
                .acquire_owned()
                .await
                .map_err(|_| ApiError::stopping())?;
            let source = Arc::clone(&self.content.source);
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                question(source.as_ref())
            })
            .await
            .map_err(|error| ApiError::internal(&error))?
            .map_err(ApiError::from)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Err(ApiError::timeout(ANSWER_TIMEOUT)))
    }
}

/// A running dashboard server. Dropping it stops it at once; [`Server::shutdown`] lets open
/// requests finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    url: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// The bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser. Holds the token when there is one: show it to the user only.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the event streams, waits up to 2 s for open requests, and stops.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, &mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that is ours, before anything is served on it.
#[derive(Debug)]
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Listens on `address`; port 0 picks a free one. Apart from [`serve`], since it may need
/// privileges that are given up before there is something to serve.
pub fn bind(address: SocketAddr) -> Result<Bound, ServeError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    listen().map_err(|error| listen::explain(address, error))
}

/// Serves the dashboard and the API until told to stop.
///
/// Addresses other than loopback are guarded by a random token, which is part of
/// [`Server::url`]. To be called on a runtime.
pub fn serve(
    bound: Bound,
    content: Content,
    _settings: &HttpSettings,
) -> Result<Server, ServeError> {
    let Bound {
        listener,
        address: bound,
    } = bound;
    let listener =
        TcpListener::from_std(listener).map_err(|error| listen::explain(bound, error))?;
    let access = if bound.ip().to_canonical().is_loopback() {
        Access::loopback(bound)
    } else {
        Access::with_token(bound, Token::random())
    };
    let url = access.url();
    let (stop, stopping) = watch::channel(false);
    let router = router(content, access, stopping.clone());
    let task = tokio::spawn(async move {
        let stopped = async move {
            let mut stopping = stopping;
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!("the dashboard server stopped: {error}");
        }
    });
    Ok(Server {
        address: bound,
        url,
        stop,
        task,
    })
}

/// Everything the server answers, guards included.
fn router(content: Content, access: Access, stopping: watch::Receiver<bool>) -> Router {
    let app = Arc::new(App {
        content,
        access,
        stopping,
        questions: Arc::new(Semaphore::new(CONCURRENT_QUESTIONS)),
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
    });
    let router = Router::new()
        .nest("/api/v1", routes::router())
        .route("/api", axum::routing::any(routes::unknown))
        .route("/api/{*rest}", axum::routing::any(routes::unknown))
        .fallback(assets::asset);
    security::guard(router, &app).with_state(app)
}
