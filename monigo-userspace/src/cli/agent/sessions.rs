//! What the agent shows: one session of its database, the latest if none is named.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    query::{DuckSource, OpenError, Source, remote},
    store::Reader,
};

/// The sessions of the agent's database.
pub struct Sessions {
    reader: Reader,
    latest: Mutex<Option<i64>>,
    beats: Arc<AtomicU64>,
}

impl Sessions {
    /// Those that `reader` reads.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            latest: Mutex::default(),
            beats: Arc::default(),
        }
    }

    /// A session has begun.
    pub fn begun(&self, session: i64, label: &str) {
        tracing::debug!("session {session} is about {label}");
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
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

impl remote::Sessions for Sessions {
    fn source(&self, session: Option<i64>) -> Result<Arc<dyn Source>, OpenError> {
        let latest = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let source = DuckSource::open(self.reader.clone(), session.or(latest))?;
        Ok(Arc::new(source))
    }
}
