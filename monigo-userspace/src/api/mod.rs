//! Views: the dashboard server.
//!
//! [`serve`] answers questions about calls under `/api/v1`, from a [`Source`], and about the service around
//! them under a base path (`v1`), from a [`Service`], each about the session that `?session=` names; it announces each flush as a server-sent event, and hands
//! out the embedded front end. Requests read, with two exceptions in `discovery`: looking for functions, and
//! tracing one more. There is no SQL here. Every path of every listener is behind the [`guard`]s.

mod assets;
pub(crate) mod check;
mod connections;
mod discovery;
mod downloads;
mod error;
mod events;
pub mod guard;
mod listen;
pub mod live;
mod pace;
mod params;
mod places;
mod routes;
mod sessions;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod v1;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::FromRequestParts, http::request::Parts, routing::any};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use self::{error::ApiError, guard::Guards, params::Params, tls::Tls};
pub use self::{
    listen::{Holder, ServeError},
    live::{LiveState, LiveStatus},
    sessions::{Label, Sessions, Stored},
    settings::{AuthSettings, HttpSettings, ListenSettings, Secret, TlsSettings},
    tls::TlsError,
};
use crate::{
    discover::Discoverer,
    query::{QueryError, Source},
    service::{Service, ServiceError},
    telemetry::prometheus::{self, Scraped},
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
struct Common {
    sessions: Arc<Sessions>,
    /// The `OpenAPI` document.
    document: Bytes,
    /// Where the API of the service is.
    base_path: String,
    stopping: watch::Receiver<bool>,
    questions: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// What a request is about: the session that its parameter `session` names, or the latest.
struct App {
    content: Content,
    common: Arc<Common>,
}

impl App {
    /// Puts a question to the source on a blocking thread.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Source) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let source = Arc::clone(&self.content.source);
        let answer = move || question(source.as_ref()).map_err(ApiError::from);
        self.common.block(answer).await
    }

    /// Asks about the service on a blocking thread.
    async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Service) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let service = Arc::clone(&self.content.service);
        let answer = move || question(service.as_ref()).map_err(ApiError::from);
        self.common.block(answer).await
    }
}

/// The session of a request; to be taken before its other parameters.
struct Chosen(App);

impl FromRequestParts<Arc<Common>> for Chosen {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, common: &Arc<Common>) -> Result<Self, ApiError> {
        let session = Params::take_session(parts)?;
        let sessions = Arc::clone(&common.sessions);
        // Apart from questions, of which only some are answered at a time: mostly it is a look into a map.
        let found = tokio::task::spawn_blocking(move || sessions.content(session)).await;
        let content = found.map_err(|error| ApiError::internal(&error))??;
        let common = Arc::clone(common);
        Ok(Self(App { content, common }))
    }
}

impl Common {
    /// What Prometheus scrapes.
    async fn scrape(&self, format: prometheus::Format) -> Result<String, ApiError> {
        let sessions = Arc::clone(&self.sessions);
        self.block(move || {
            let current = sessions.current()?;
            let scraped: Vec<_> = current.iter().map(scraped).collect();
            Ok(prometheus::render(&scraped, format)?)
        })
        .await
    }

    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let answer = async {
            // The semaphore is never closed, so this waits rather than fails.
            let permit = Arc::clone(&self.questions)
                .acquire_owned()
                .await
                .map_err(|_| ApiError::stopping())?;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work()
            })
            .await
            .map_err(|error| ApiError::internal(&error))?
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Err(ApiError::timeout(ANSWER_TIMEOUT)))
    }
}

fn scraped((label, content): &(Option<Label>, Content)) -> Scraped<'_> {
    let mut scraped = Scraped::alone(&*content.source, &*content.service);
    if let Some(label) = label {
        scraped.labels.push(("target", label.target.clone()));
        let session = label.session.map(|id| ("session", id.to_string()));
        scraped.labels.extend(session);
    }
    scraped
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
/// Addresses other than loopback are guarded by a random token, which is part of [`Server::url`], unless the
/// settings have another way to authenticate or say that none is wanted. To be called on a runtime.
pub fn serve(
    bound: Bound,
    sessions: impl Into<Arc<Sessions>>,
    settings: &HttpSettings,
) -> Result<Server, ServeError> {
    let Bound {
        listener,
        address: bound,
    } = bound;
    let listener =
        TcpListener::from_std(listener).map_err(|error| listen::explain(bound, error))?;
    let guards = Guards::new(settings, Some(bound))?;
    let tls = Tls::new(&settings.tls)?;
    if tls.is_none() && !bound.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "what {bound} answers, and what it is sent, is not encrypted; set tls.cert_file and tls.key_file, or use a tunnel"
        );
    }
    let url = guards.url.clone();
    let (stop, stopping) = watch::channel(false);
    let router = router(sessions.into(), settings, guards, stopping.clone());
    let limits = (&settings.listen).into();
    let task = tokio::spawn(connections::serve(listener, router, tls, limits, stopping));
    Ok(Server {
        address: bound,
        url,
        stop,
        task,
    })
}

/// The dashboard and the API as a router, guards included, to be nested in another service. It needs
/// `into_make_service_with_connect_info::<SocketAddr>()` where clients are told apart by address.
pub fn service_router(
    sessions: impl Into<Arc<Sessions>>,
    settings: &HttpSettings,
) -> Result<Router, ServeError> {
    let guards = Guards::new(settings, None)?;
    let (stop, stopping) = watch::channel(false);
    let router = router(sessions.into(), settings, guards, stopping);
    // Streams end with the router, and not before.
    Ok(router.layer(axum::Extension(Arc::new(stop))))
}

/// Everything the server answers, guards included.
fn router(
    sessions: Arc<Sessions>,
    settings: &HttpSettings,
    guards: Guards,
    stopping: watch::Receiver<bool>,
) -> Router {
    let base_path = settings.listen.base_path.clone();
    let (v1, document) = v1::routes(&base_path, guards.schemes());
    let common = Arc::new(Common {
        sessions,
        document: document.to_json().unwrap_or_default().into(),
        base_path,
        stopping,
        questions: Arc::new(Semaphore::new(CONCURRENT_QUESTIONS)),
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
    });
    let router = Router::new()
        .nest("/api/v1", routes::router())
        .route("/api", any(routes::unknown))
        .route("/api/{*rest}", any(routes::unknown))
        .merge(v1)
        .fallback(assets::asset)
        .method_not_allowed_fallback(v1::wrong_method)
        .with_state(common);
    guards.around(router)
}
