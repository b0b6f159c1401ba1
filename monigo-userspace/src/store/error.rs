//! What can go wrong with a store, in words that say what to do.

use std::path::{Path, PathBuf};

/// What can go wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error(
        "{} is in use by {}: read it with `monigo report` or `monigo query` (they go through the running monigo), or give another --db",
        path.display(), holder(*pid, program.as_deref())
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// Who holds it, when known.
        pid: Option<u32>,
        /// Program of that process, when known.
        program: Option<String>,
    },
    /// The file is something else.
    #[error("{} is not a DuckDB database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A DuckDB database without monigo's tables.
    #[error("{} is a DuckDB database, but not one that monigo recorded", path.display())]
    NotMonigo {
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged ({detail}); restore a copy, or record into a new file", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// DuckDB's words.
        detail: String,
    },
    /// A newer monigo wrote it.
    #[error(
        "{} has schema version {found}, and this monigo knows versions up to {supported}: use a newer monigo",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Newest version this build understands.
        supported: i64,
    },
    /// An older monigo wrote it, and it can only be read here.
    #[error(
        "{} has the older schema version {found} and must be brought to version {supported} first: run monigo on it with write access",
        path.display()
    )]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Version of the file.
        found: i64,
        /// Version this build reads.
        supported: i64,
    },
    /// A newer `DuckDB` wrote it.
    #[error("{} was written by a newer DuckDB than this monigo has ({detail})", path.display())]
    NewerDuckDb {
        /// The database.
        path: PathBuf,
        /// DuckDB's words.
        detail: String,
    },
    /// No space left on the device.
    #[error(
        "no space left on the device that holds {}: free some; nothing that was already written is lost",
        path.display()
    )]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The limit for its size leaves no room, and nothing old is left to delete.
    #[error(
        "the database has reached its limit of {} MiB and nothing old is left to delete; raise max_size or trace fewer functions",
        limit_bytes >> 20
    )]
    LimitReached {
        /// The limit, bytes.
        limit_bytes: u64,
    },
    /// It may not be written (or read) there.
    #[error("{}: {reason}; choose another place with --db", path.display())]
    NotAllowed {
        /// The database.
        path: PathBuf,
        /// `permission denied` or `read-only file system`.
        reason: &'static str,
    },
    /// The path names a directory.
    #[error("{} is a directory; name a file in it, for example {}", path.display(), path.join("run.duckdb").display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory to put it in does not exist.
    #[error("{}: there is no directory {}", path.display(), directory.display())]
    NoDirectory {
        /// The database.
        path: PathBuf,
        /// What is missing.
        directory: PathBuf,
    },
    /// No such file.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The database.
        path: PathBuf,
    },
    /// A migration failed; the file is as it was.
    #[error("bringing the database to schema version {version} failed: {message}")]
    Migration {
        /// Version that was to be reached.
        version: i64,
        /// DuckDB's words.
        message: String,
    },
    /// The session id is not in the database.
    #[error("no session {0} in the database")]
    UnknownSession(i64),
    /// Anything else that `DuckDB` reports.
    #[error("{doing} failed: {message}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// DuckDB's words.
        message: String,
    },
    /// A failure of another kind of store.
    #[error("{0}")]
    Other(String),
}

fn holder(pid: Option<u32>, program: Option<&str>) -> String {
    match (pid, program) {
        (Some(pid), Some(program)) => format!("process {pid} ({program})"),
        (Some(pid), None) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

impl StoreError {
    /// Gives DuckDB's error a type. DuckDB has no stable error codes for these, only messages.
    pub(super) fn classify(
        error: &duckdb::Error,
        path: Option<&Path>,
        doing: &'static str,
    ) -> Self {
        let message = message_of(error);
        match path {
            Some(path) => Self::from_message(message, path, doing),
            None => Self::Failed { doing, message },
        }
    }

    fn from_message(message: String, path: &Path, doing: &'static str) -> Self {
        let has = |text: &str| message.contains(text);
        let path = path.to_owned();
        if has("Could not set lock on file") {
            let (pid, program) = lock_holder(&message);
            Self::Locked { path, pid, program }
        } else if has("No space left on device") {
            Self::DiskFull { path }
        } else if has("Is a directory") {
            Self::IsDirectory { path }
        } else if has("not a valid DuckDB database file") {
            Self::NotADatabase { path }
        } else if has("we can only read versions") || has("newer version of DuckDB") {
            let detail = first_line(&message);
            Self::NewerDuckDb { path, detail }
        } else if has("Permission denied") {
            let reason = "permission denied";
            Self::NotAllowed { path, reason }
        } else if has("Read-only file system") {
            let reason = "read-only file system";
            Self::NotAllowed { path, reason }
        } else if has("database does not exist") {
            Self::NotFound { path }
        } else if [
            "Corrupt database file",
            "Could not read enough bytes",
            "Failure while replaying WAL",
            "Serialization Error",
            "Corrupt WAL",
        ]
        .iter()
        .any(|text| has(text))
        {
            let detail = first_line(&message);
            Self::Corrupt { path, detail }
        } else {
            Self::Failed { doing, message }
        }
    }
}

/// DuckDB's own words, without the crate's numeric code.
pub(crate) fn message_of(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.trim_end().to_owned(),
        other => other.to_string(),
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// `… Conflicting lock is held in /usr/bin/monigo (PID 4711) by user root. See also …`
fn lock_holder(message: &str) -> (Option<u32>, Option<String>) {
    let Some((_, rest)) = message.split_once("Conflicting lock is held in ") else {
        return (None, None);
    };
    let Some((program, rest)) = rest.split_once(" (PID ") else {
        return (None, None);
    };
    let pid = rest.split_once(')').and_then(|(pid, _)| pid.parse().ok());
    let program = program.rsplit('/').next().filter(|name| !name.is_empty());
    (pid, program.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(message: &str) -> StoreError {
        StoreError::from_message(message.to_owned(), Path::new("/d/x.duckdb"), "opening")
    }

    #[test]
    fn lock_messages_name_the_holder() {
        let error = typed(
            "IO Error: Could not set lock on file \"/d/x.duckdb\": Conflicting lock is held in \
             /usr/bin/monigo (PID 4711) by user root. See also https://duckdb.org/docs/",
        );
        assert_eq!(
            error,
            StoreError::Locked {
                path: "/d/x.duckdb".into(),
                pid: Some(4711),
                program: Some("monigo".to_owned()),
            }
        );
        assert!(
            error
                .to_string()
                .starts_with("/d/x.duckdb is in use by process 4711 (monigo)")
        );
        let unknown = typed("IO Error: Could not set lock on file \"/d/x.duckdb\": Resource busy");
        assert!(unknown.to_string().contains("in use by another process"));
    }

    #[test]
    fn messages_become_types() {
        let path = || PathBuf::from("/d/x.duckdb");
        assert_eq!(
            typed(
                "TransactionContext Error: Failed to commit: Could not write file \"/d/x.duckdb.wal\": No space left on device"
            ),
            StoreError::DiskFull { path: path() }
        );
        assert_eq!(
            typed(
                "IO Error: The file \"/d/x.duckdb\" exists, but it is not a valid DuckDB database file!"
            ),
            StoreError::NotADatabase { path: path() }
        );
        assert!(matches!(
            typed(
                "IO Error: Trying to read a database file with version number 99, but we can only read versions between 64 and 68."
            ),
            StoreError::NewerDuckDb { .. }
        ));
        assert!(matches!(
            typed(
                "IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2 in block at location 0"
            ),
            StoreError::Corrupt { .. }
        ));
        assert_eq!(
            typed("IO Error: Cannot open file \"/d/x.duckdb\": Permission denied"),
            StoreError::NotAllowed {
                path: path(),
                reason: "permission denied"
            }
        );
        assert!(matches!(
            typed("Binder Error: no"),
            StoreError::Failed {
                doing: "opening",
                ..
            }
        ));
    }
}
