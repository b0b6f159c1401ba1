//! Opening a recording, whether it is finished or being written.

use std::path::Path;

use super::{DuckSource, QueryError, Source, remote::RemoteSource};
use crate::store::{Database, StoreError};

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database, or the running monigo that holds it, cannot answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No session was ever recorded into it.
    #[error("nothing was recorded into this database yet; record with `monigo attach --db FILE`")]
    NoSession,
    /// The session asked for is not in it.
    #[error("no session {id} in this database; it has {}", list(available))]
    UnknownSession {
        /// What was asked for.
        id: i64,
        /// What there is, ascending.
        available: Vec<i64>,
    },
    /// Another process has the database open, and no monigo answers for it.
    #[error("{locked}, but it does not answer on {socket}: {reason}")]
    HeldElsewhere {
        /// Who holds it.
        locked: StoreError,
        /// Where it would answer.
        socket: String,
        /// Why it does not.
        reason: String,
    },
}

impl OpenError {
    /// Whether the same may succeed later, without another argument and without another monigo.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Store(StoreError::Corrupt { .. } | StoreError::Locked { .. })
            | Self::Query(_)
            | Self::HeldElsewhere { .. } => true,
            Self::Store(_) | Self::NoSession | Self::UnknownSession { .. } => false,
        }
    }
}

fn list(ids: &[i64]) -> String {
    let word = if ids.len() == 1 {
        "session"
    } else {
        "sessions"
    };
    // The newest are what anyone looks for.
    let skipped = ids.len().saturating_sub(10);
    let shown: Vec<String> = ids[skipped..].iter().map(i64::to_string).collect();
    let more = if skipped > 0 { "…, " } else { "" };
    format!("{word} {more}{}", shown.join(", "))
}

/// Opens session `session` of the recording at `path`, or the latest. A recording that another
/// process writes is read through that process, which must be monigo.
pub fn open_source(path: &Path, session: Option<i64>) -> Result<Box<dyn Source>, OpenError> {
    match Database::open_read_only(path) {
        Ok(database) => Ok(Box::new(DuckSource::open(database.reader()?, session)?)),
        Err(locked @ StoreError::Locked { .. }) => {
            Ok(Box::new(RemoteSource::open(path, session, locked)?))
        }
        Err(error) => Err(error.into()),
    }
}
