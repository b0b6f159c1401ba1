//! Connections for questions, beside the one that records.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use duckdb::Connection;

/// A cheap, shareable handle for reading an open [`super::Database`].
///
/// Questions do not wait for each other or for appends: each runs on a connection of its own,
/// and sees the database as of its last committed batch.
#[derive(Clone, Debug)]
pub struct Reader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Cloned from, never queried.
    seed: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
    epoch: Arc<AtomicU64>,
    recording: bool,
    /// The file; `None` for a database in memory.
    path: Option<PathBuf>,
}

impl Reader {
    pub(super) fn new(
        seed: Connection,
        epoch: Arc<AtomicU64>,
        recording: bool,
        path: Option<PathBuf>,
    ) -> Self {
        let inner = Inner {
            seed: Mutex::new(seed),
            idle: Mutex::default(),
            epoch,
            recording,
            path,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Changes when rows were deleted: sums made before no longer hold.
    pub(crate) fn epoch(&self) -> u64 {
        self.inner.epoch.load(Ordering::Acquire)
    }

    /// Whether this process has the database open to record into it.
    pub(crate) fn recording(&self) -> bool {
        self.inner.recording
    }

    /// The file; `None` for a database in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Runs `question` on an idle connection. The connection is discarded if the question fails,
    /// since it may be left inside a transaction.
    pub(crate) fn with<T, E>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<duckdb::Error>,
    {
        let idle = lock(&self.inner.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => lock(&self.inner.seed).try_clone()?,
        };
        let answer = question(&connection)?;
        lock(&self.inner.idle).push(connection);
        Ok(answer)
    }
}

/// The guarded values are valid at every instant, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
