//! monigo as a library: a recording, and the whole API over it, inside another program.
//!
//! ```no_run
//! use axum::Router;
//! use monigo::Monigo;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let monigo = Monigo::builder().recording("orders.duckdb").build()?;
//! for function in monigo.source().functions(Default::default())? {
//!     println!("{}: p99 {} ns", function.name, function.latency_ns.p99);
//! }
//! let app: Router = Router::new().nest("/watch", monigo.router()?);
//! # Ok(())
//! # }
//! ```
//!
//! Or of a target that is traced from now on, as root, until what was built is dropped:
//!
//! ```no_run
//! # use monigo::Monigo;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Monigo::builder().attach("/usr/bin/shop").function("process_order");
//! let monigo = tokio::task::spawn_blocking(|| builder.build()).await??;
//! let server = monigo.serve()?;
//! # Ok(())
//! # }
//! ```
//!
//! The guards of the API can be used by themselves, see [`crate::api::guard`].

mod attached;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use tokio::runtime::Handle;

pub use self::attached::AttachError;
use self::attached::{Attached, Wanted};
use crate::{
    api::{self, Content, HttpSettings, LiveState, ServeError, Server, Sessions},
    collect::unix_ns,
    query::{Lasting, OpenError, QueryError, SessionRow, Source, Standing},
    service::{Recorded, Service},
};

/// Why there is nothing to build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Neither a recording nor a target nor a source.
    #[error(
        "there is nothing to show; name a recording with `recording` or a target with `attach`, or give a `source`"
    )]
    Nothing,
    /// A source and something else.
    #[error(
        "a source cannot be shown together with a recording or a target; leave one of them out"
    )]
    Two,
    /// The target is not traced.
    #[error("{target} cannot be traced: {reason}")]
    Attach {
        /// As named.
        target: String,
        /// Why.
        reason: Box<AttachError>,
    },
    /// The recording cannot be opened.
    #[error("{} cannot be opened: {reason}", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: Box<OpenError>,
    },
    /// The recording does not answer.
    #[error("the recording does not answer: {0}")]
    Query(#[from] QueryError),
    /// A recording that goes on is looked at by a task, and there is no tokio runtime for it.
    #[error("this recording goes on, and watching it needs a tokio runtime; build on one")]
    NoRuntime,
}

/// What a [`Monigo`] is made of.
#[derive(Default)]
#[must_use]
pub struct Builder {
    recording: Option<PathBuf>,
    attach: Option<String>,
    functions: Vec<String>,
    all: bool,
    session: Option<i64>,
    source: Option<Arc<dyn Source>>,
    service: Option<Arc<dyn Service>>,
    live: Option<LiveState>,
    settings: HttpSettings,
}

impl Builder {
    /// Traces a target from now on, until what was built is dropped: the path of an executable or library, a process id or
    /// a name, as for `monigo attach`. Needs root. The measurements are kept in the file of [`Builder::recording`], or in
    /// memory without one.
    pub fn attach(mut self, target: impl Into<String>) -> Self {
        self.attach = Some(target.into());
        self
    }

    /// Of the target, this function, by a pattern as for `--fn`; repeatable.
    pub fn function(mut self, pattern: impl Into<String>) -> Self {
        self.functions.push(pattern.into());
        self
    }

    /// Every function that the patterns match, even several distinct ones.
    pub fn all(mut self) -> Self {
        self.all = true;
        self
    }

    /// Shows the recording in this DuckDB file, finished or being written by another monigo.
    pub fn recording(mut self, path: impl Into<PathBuf>) -> Self {
        self.recording = Some(path.into());
        self
    }

    /// Of the recording, this session; the latest without.
    pub fn session(mut self, id: i64) -> Self {
        self.session = Some(id);
        self
    }

    /// Shows anything else that answers questions about calls.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// Knows the service around the calls; without it, only what the recording itself tells is known.
    pub fn service(mut self, service: Arc<dyn Service>) -> Self {
        self.service = Some(service);
        self
    }

    /// Announces the flushes of a [`Builder::source`]; without it, the source counts as finished.
    pub fn live(mut self, live: LiveState) -> Self {
        self.live = Some(live);
        self
    }

    /// Guards of the API, and where it is.
    pub fn settings(mut self, settings: HttpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Opens what was named. Blocks for a moment; on a runtime, where something goes on, for which
    /// `spawn_blocking` is one place. Of a target, blocks until the probes are in.
    pub fn build(self) -> Result<Monigo, BuildError> {
        if let Some(target) = self.attach {
            if self.source.is_some() {
                return Err(BuildError::Two);
            }
            let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
            let wanted = Wanted {
                target: target.clone(),
                functions: self.functions,
                all: self.all,
            };
            let (sessions, content, attached) =
                attached::attach(wanted, self.recording.as_deref(), runtime).map_err(|reason| {
                    let reason = Box::new(reason);
                    BuildError::Attach { target, reason }
                })?;
            return Ok(Monigo {
                sessions,
                content,
                settings: self.settings,
                _attached: Some(attached),
            });
        }
        let (sessions, content) = match (self.source, self.recording) {
            (Some(_), Some(_)) => return Err(BuildError::Two),
            (None, None) => return Err(BuildError::Nothing),
            (Some(source), None) => {
                let service = self
                    .service
                    .unwrap_or_else(|| Arc::new(Recorded::new(Arc::clone(&source))));
                let content = Content {
                    source,
                    service,
                    live: self.live.unwrap_or_else(|| LiveState::finished("")),
                    discoverer: None,
                };
                (content.clone().into(), content)
            }
            (None, Some(path)) => open(&path, self.session, self.service)?,
        };
        Ok(Monigo {
            sessions,
            content,
            settings: self.settings,
            _attached: None,
        })
    }
}

/// The sessions of a recording, and the one that is shown by default.
fn open(
    path: &Path,
    named: Option<i64>,
    service: Option<Arc<dyn Service>>,
) -> Result<(Arc<Sessions>, Content), BuildError> {
    let failed = |reason| BuildError::Open {
        path: path.to_owned(),
        reason: Box::new(reason),
    };
    let first = Arc::new(Lasting::open(path, named).map_err(failed)?);
    let row: SessionRow = first.overview()?.into();
    let goes_on = row.standing(unix_ns()) == Standing::Recording;
    if goes_on && Handle::try_current().is_err() {
        return Err(BuildError::NoRuntime);
    }
    let sessions = Sessions::of_file(path, first, named);
    let mut content = sessions.content(named).map_err(failed)?;
    if let Some(service) = service {
        content.service = service;
        sessions.begin(row.session, None, content.clone());
    }
    Ok((Arc::new(sessions), content))
}

/// A recording, and the API over it.
pub struct Monigo {
    sessions: Arc<Sessions>,
    content: Content,
    settings: HttpSettings,
    _attached: Option<Attached>,
}

impl Monigo {
    /// Begins to build one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Answers questions about calls.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.content.source
    }

    /// Knows the service around the calls.
    pub fn service(&self) -> &Arc<dyn Service> {
        &self.content.service
    }

    /// Where the recording stands, and when something new was written.
    pub fn live(&self) -> &LiveState {
        &self.content.live
    }

    /// The dashboard and the whole API, with the guards that the settings want, to be nested in another
    /// router. Where clients are told apart by their addresses (`auth.allow`, rate limits), serve that router with
    /// `into_make_service_with_connect_info::<SocketAddr>()`.
    ///
    /// A router does not know where it is served: unlike [`Monigo::serve`], it asks for authentication only when the
    /// settings have some.
    pub fn router(&self) -> Result<Router, ServeError> {
        api::service_router(Arc::clone(&self.sessions), &self.settings)
    }

    /// Serves the dashboard and the API at the address of the settings. To be called on a tokio runtime.
    pub fn serve(&self) -> Result<Server, ServeError> {
        let listen = &self.settings.listen;
        let bound = api::bind(SocketAddr::new(listen.address, listen.port))?;
        api::serve(bound, Arc::clone(&self.sessions), &self.settings)
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode},
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::store::{Database, fixture};

    fn recording(directory: &tempfile::TempDir) -> PathBuf {
        let path = directory.path().join("recording.duckdb");
        let mut database = Database::open(&path).unwrap();
        fixture::record(&mut database);
        path
    }

    #[tokio::test]
    async fn a_recording_nested_in_another_service() {
        let directory = tempfile::tempdir().unwrap();
        let monigo = Monigo::builder()
            .recording(recording(&directory))
            .build()
            .unwrap();
        assert!(
            !monigo
                .source()
                .functions(crate::query::Window::default())
                .unwrap()
                .is_empty()
        );
        let app: Router = Router::new().nest("/watch", monigo.router().unwrap());
        for (path, status) in [
            ("/watch/monigo/api/v1/function", StatusCode::OK),
            ("/watch/api/v1/overview", StatusCode::OK),
            ("/watch/healthz", StatusCode::OK),
            ("/monigo/api/v1/function", StatusCode::NOT_FOUND),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
        }
    }

    #[test]
    fn mistakes_are_errors() {
        let error = |builder: Builder| builder.build().err().expect("an error");
        assert!(matches!(error(Monigo::builder()), BuildError::Nothing));
        let missing = error(Monigo::builder().recording("/nonexistent/x.duckdb"));
        assert!(
            missing.to_string().contains("/nonexistent/x.duckdb"),
            "{missing}"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = recording(&directory);
        let unknown = error(Monigo::builder().recording(&path).session(4711));
        assert!(unknown.to_string().contains("4711"), "{unknown}");
    }

    #[tokio::test]
    async fn settings_of_the_guards_count() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = HttpSettings::default();
        settings.auth.api_key = Some(api::Secret::new("0123456789abcdef"));
        settings.listen.port = 0;
        let monigo = Monigo::builder()
            .recording(recording(&directory))
            .settings(settings)
            .build()
            .unwrap();
        let ask = async |key: &str| {
            let router = monigo.router().unwrap();
            let request = Request::get("/healthz").header("x-api-key", key);
            let request = request.body(Body::empty()).unwrap();
            router.oneshot(request).await.unwrap().status()
        };
        assert_eq!(ask("wrong").await, StatusCode::UNAUTHORIZED);
        assert_eq!(ask("0123456789abcdef").await, StatusCode::OK);
        let server = monigo.serve().unwrap();
        assert!(server.url().starts_with("http://127.0.0.1:"));
        server.shutdown().await;
    }
}
