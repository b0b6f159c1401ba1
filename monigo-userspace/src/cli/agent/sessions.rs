//! What the agent shows: each session of its database, those that go on with the service around them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::sync::lock;
use crate::{
    api,
    cli::{
        operation::Operation,
        trace::background::{Begun, Observer},
    },
    config::Loaded,
    query::{DuckSource, OpenError, Source, remote},
    store::Reader,
};

type Configure = Box<dyn Fn(&Loaded) + Send>;

/// The sessions of the agent's database.
pub struct Sessions {
    reader: Reader,
    shown: Arc<api::Sessions>,
    operation: Arc<Operation>,
    /// By session that goes on.
    configure: Mutex<BTreeMap<i64, Configure>>,
    beats: Arc<AtomicU64>,
}

impl Sessions {
    /// Those that `reader` reads.
    pub fn new(reader: Reader, operation: Arc<Operation>) -> Self {
        Self {
            shown: Arc::new(api::Sessions::of(reader.clone())),
            reader,
            operation,
            configure: Mutex::default(),
            beats: Arc::default(),
        }
    }

    /// For the server.
    pub fn shown(&self) -> Arc<api::Sessions> {
        Arc::clone(&self.shown)
    }

    /// Other settings are in force.
    pub fn configure(&self, loaded: &Loaded) {
        for configure in lock(&self.configure).values() {
            configure(loaded);
        }
    }

    /// A number that grows as long as the supervisor makes progress.
    pub fn heartbeat(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.beats)
    }

    /// The supervisor made progress.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }
}

impl Observer for Sessions {
    fn begun(&self, label: &str, begun: Begun) {
        tracing::debug!("session {} is about {label}", begun.session);
        self.operation.watch_over(begun.heartbeat);
        // They may have changed since the recording was planned.
        (begun.configure)(&self.operation.loaded());
        lock(&self.configure).insert(begun.session, begun.configure);
        self.shown
            .begin(begun.session, Some(label.to_owned()), begun.content);
    }

    fn speaks_for_host(&self, session: i64) -> bool {
        let oldest = lock(&self.configure).first_key_value().map(|(id, _)| *id);
        oldest == Some(session)
    }

    fn ended(&self, session: i64) {
        lock(&self.configure).remove(&session);
        self.shown.end(session);
    }
}

impl remote::Sessions for Sessions {
    fn source(&self, session: Option<i64>) -> Result<Arc<dyn Source>, OpenError> {
        if let Some(content) = self.shown.running(session) {
            return Ok(content.source);
        }
        Ok(Arc::new(DuckSource::open(self.reader.clone(), session)?))
    }
}
