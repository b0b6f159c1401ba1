//! Connections for questions, beside the one that records.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use duckdb::{Connection, ffi};

use super::held::Held;
use crate::sync::lock;

/// A cheap, shareable handle for reading an open [`super::Database`].
///
/// Questions do not wait for each other or for appends, but for batches that are held: those are written
/// first. Each runs on a connection of its own, and sees the database as of its last batch. While the database is opened anew after a
/// failure, questions fail.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<Pool>,
}

/// The connections of a database.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    /// A connection came back.
    returned: Condvar,
    epoch: AtomicU64,
    held: Held,
    recording: bool,
    path: Option<PathBuf>,
}

#[derive(Debug)]
struct State {
    /// Cloned from, never queried; `None` while the database is closed.
    seed: Option<Connection>,
    idle: Vec<Connection>,
    /// Connections handed out.
    out: usize,
    /// Grows when the database is opened anew.
    generation: u64,
}

impl Pool {
    pub(super) fn new(seed: Connection, recording: bool, path: Option<PathBuf>) -> Arc<Self> {
        let state = State {
            seed: Some(seed),
            idle: Vec::new(),
            out: 0,
            generation: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            returned: Condvar::new(),
            epoch: AtomicU64::default(),
            held: Held::default(),
            recording,
            path,
        })
    }

    /// Batches that are not in the tables yet.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// What readers summed up before no longer holds.
    pub(super) fn start_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Closes every connection, and waits for those that are in use, at most for `patience`. Whether
    /// all are closed; if not, the database is still open.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        state.seed = None;
        state.idle.clear();
        state.generation += 1;
        let waited = self
            .returned
            .wait_timeout_while(state, patience, |state| state.out > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.out == 0
    }

    /// Answers questions again, from the database that `seed` is a connection to.
    pub(super) fn open(&self, seed: Connection) {
        lock(&self.state).seed = Some(seed);
    }

    /// A connection, and which generation it is of.
    fn take(&self) -> Result<(Connection, u64), duckdb::Error> {
        let mut state = lock(&self.state);
        let Some(seed) = &state.seed else {
            return Err(closed());
        };
        let fresh = if state.idle.is_empty() {
            Some(seed.try_clone()?)
        } else {
            None
        };
        let connection = fresh.or_else(|| state.idle.pop()).ok_or_else(closed)?;
        state.out += 1;
        Ok((connection, state.generation))
    }

    fn give_back(&self, connection: Option<Connection>, generation: u64) {
        let mut state = lock(&self.state);
        match connection {
            Some(connection) if state.generation == generation => state.idle.push(connection),
            // Closed before it counts as returned.
            other => drop(other),
        }
        state.out -= 1;
        drop(state);
        self.returned.notify_all();
    }
}

fn closed() -> duckdb::Error {
    let text = "the database is being opened anew after a failure; ask again in a moment";
    duckdb::Error::DuckDBFailure(ffi::Error::new(ffi::DuckDBError), Some(text.to_owned()))
}

/// A connection in use; it counts as returned also if the question panics.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    generation: u64,
    /// Whether it can be used again.
    sound: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(|_| self.sound);
        self.pool.give_back(connection, self.generation);
    }
}

impl Reader {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// Changes when rows were deleted or merged: sums made before no longer hold.
    pub(crate) fn epoch(&self) -> u64 {
        self.pool.epoch.load(Ordering::Acquire)
    }

    /// Whether this process has the database open to record into it.
    pub(crate) fn recording(&self) -> bool {
        self.pool.recording
    }

    /// The file; `None` for a database in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.pool.path.as_deref()
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
        let (connection, generation) = self.pool.take()?;
        let mut lent = Lent {
            pool: &self.pool,
            connection: None,
            generation,
            sound: false,
        };
        let connection = lent.connection.insert(connection);
        if self.pool.recording {
            self.pool.held.settle(connection);
        }
        let answer = question(connection);
        lent.sound = answer.is_ok();
        answer
    }
}
