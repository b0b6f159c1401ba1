//! Tracing from inside another program.

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, unbounded};
use tokio::runtime::Handle;

use crate::{
    api::{Content, Sessions},
    cli::{
        exit::{Failure, Status},
        trace::{
            TraceOptions,
            background::{Begun, Job, Observer, SharedStore, plain_label},
        },
    },
    collect::{Command, End},
    config::{Loaded, TraceSettings},
    lifecycle::Lifecycle,
    store::{Database, StoreError},
    system::{self, HostError},
    target::{self, TargetError},
};

/// Why a target is not traced.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No such program or process.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// This host or its user does not allow it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It does not, as only showed on the way.
    #[error("{0}")]
    NotAllowed(String),
    /// No function to trace was named.
    #[error("no function is named; name one with `function`")]
    NoFunction,
    /// A function cannot be found, or not be traced.
    #[error("{0}")]
    Function(String),
    /// The measurements cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<anyhow::Error> for AttachError {
    fn from(error: anyhow::Error) -> Self {
        let text = format!("{error:#}");
        match error.downcast_ref::<Failure>().map(Failure::status) {
            Some(Status::Usage) => Self::Function(text),
            Some(Status::NotAllowed) => Self::NotAllowed(text),
            Some(Status::Failed) | None => Self::Failed(text),
        }
    }
}

/// What is to be traced.
#[derive(Debug, Default)]
pub struct Wanted {
    pub target: String,
    pub functions: Vec<String>,
    pub all: bool,
}

/// A recording that goes on until this is dropped.
pub struct Attached {
    commands: Sender<Command>,
    thread: Option<JoinHandle<anyhow::Result<End>>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.commands.send(Command::Stop);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            tracing::warn!("recording failed: {error:#}");
        }
    }
}

/// Puts what is recorded into what is shown.
struct Shown {
    sessions: Arc<Sessions>,
    begun: Sender<i64>,
}

impl Observer for Shown {
    fn begun(&self, _: &str, begun: Begun) {
        self.sessions.begin(begun.session, None, begun.content);
        // Somebody waits, or has given up.
        let _ = self.begun.send(begun.session);
    }

    fn speaks_for_host(&self, _: i64) -> bool {
        true
    }

    fn ended(&self, session: i64) {
        self.sessions.end(session);
    }
}

/// Begins to trace, and waits until the probes are in. Keeps the measurements in the file `database`, or in memory.
pub fn attach(
    wanted: Wanted,
    database: Option<&Path>,
    runtime: Handle,
) -> Result<(Arc<Sessions>, Content, Attached), AttachError> {
    if wanted.functions.is_empty() {
        return Err(AttachError::NoFunction);
    }
    system::require_attach()?;
    let target = target::resolve(&wanted.target, None)?;
    let database = match database {
        Some(path) => Database::open(path)?,
        None => Database::in_memory()?,
    }
    .holding();
    let reader = database.reader()?;
    let sessions = Arc::new(Sessions::of(reader.clone()));
    let (begun, has_begun) = unbounded();
    let shown = Arc::clone(&sessions);
    let job = Job {
        label: plain_label(&wanted.target),
        name: None,
        target,
        pids: None,
        options: TraceOptions {
            functions: wanted.functions,
            all: wanted.all,
            ..TraceOptions::measured(&TraceSettings::default())
        },
        store: SharedStore::new(database),
        reader,
        settings: Loaded::default(),
        lifecycle: Lifecycle::new(None, None),
        runtime,
        observer: Arc::new(Shown {
            sessions: shown,
            begun,
        }),
    };
    let (commands, received) = unbounded();
    let own = commands.clone();
    let thread = thread::Builder::new()
        .name("recording".to_owned())
        .spawn(move || job.run(&own, &received))
        .map_err(|error| AttachError::Failed(error.to_string()))?;
    let content = has_begun
        .recv()
        .ok()
        .and_then(|id| sessions.running(Some(id)));
    match content {
        Some(content) => {
            let thread = Some(thread);
            Ok((sessions, content, Attached { commands, thread }))
        }
        // It ended before it began.
        None => Err(match thread.join() {
            Ok(Err(error)) => error.into(),
            Ok(Ok(_)) => AttachError::Failed("the process ended at once".to_owned()),
            Err(_) => {
                AttachError::Failed("the recording failed; this is a bug in monigo".to_owned())
            }
        }),
    }
}
