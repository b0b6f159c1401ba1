//! Opening a `DuckDB` database: settings, schema check, typed errors.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use duckdb::{AccessMode, Config, Connection};

use super::{
    Forgotten, Reader, StoreError,
    error::message_of,
    held, journal,
    migrate::{self, Found, MIGRATIONS, Migration},
    reader::Pool,
    settings::Keep,
};

/// Size of the write-ahead log at which a commit folds it into the file: never, see
/// [`super::upkeep`].
const CHECKPOINT_THRESHOLD: &str = "1TB";
/// Most memory that a database on disk uses for its work, bytes.
const FILE_MEMORY: u64 = 256 << 20;

/// An open store.
///
/// A batch is committed as one transaction and synced to disk before [`super::Store::append`]
/// returns, or [held](Self::holding): after a `kill -9` the file opens again and holds every batch that was
/// acknowledged. A batch whose append returned an error is absent as a whole, and may be appended again.
///
/// The database is closed when this and every [`Reader`] of it are dropped.
#[derive(Debug)]
pub struct Database {
    pub(super) connection: Connection,
    pub(super) path: Option<PathBuf>,
    /// What is kept; `None` for everything.
    pub(super) keep: Option<Keep>,
    /// When to look for what is too old, Unix time in ns.
    pub(super) next_look_ns: i64,
    /// Where each session being written stands.
    pub(super) progress: HashMap<i64, Progress>,
    /// Sessions being written of which rows were deleted, but not yet the stacks that only those referred to.
    pub(super) unswept: HashSet<i64>,
    /// What was deleted of those, and they were not told of.
    pub(super) forgotten: HashMap<i64, Forgotten>,
    pub(super) pool: Arc<Pool>,
    /// A failure made `DuckDB` refuse everything until the database is opened anew.
    pub(super) dead: AtomicBool,
}

/// Where the flushes of a session stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// End of the last flush, or the start; Unix time in ns.
    pub(super) at_ns: i64,
    /// Id of the last flush; 0 before the first.
    pub(super) flush: i64,
    /// Whether this is what the tables say.
    pub(super) certain: bool,
}

/// What a database is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Record,
    Read,
}

impl Database {
    /// Opens the file at `path` to record into it, creating it or bringing its schema up to date
    /// as needed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, MIGRATIONS)
    }

    /// As [`Database::open`], with a given history of the schema.
    pub(super) fn open_with(path: &Path, migrations: &[Migration]) -> Result<Self, StoreError> {
        check_path(path)?;
        let existed = path.exists();
        let connection = connect(path, Purpose::Record)?;
        match check_schema(&connection, path, migrations)? {
            Found::Foreign => return Err(StoreError::NotMonigo { path: path.into() }),
            Found::Empty => {
                tracing::debug!(path = %path.display(), existed, "creating the schema");
                migrate::migrate(&connection, 0, migrations)?;
            }
            Found::Version(version) => migrate::migrate(&connection, version, migrations)?,
        }
        held::recover(&connection, path)?;
        Self::ready(connection, Some(path), false)
    }

    /// Opens a recording to read it. It is not changed, so its directory need not be writable.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::NotFound { path: path.into() });
        }
        check_path(path)?;
        let connection = connect(path, Purpose::Read)?;
        match check_schema(&connection, path, MIGRATIONS)? {
            Found::Foreign | Found::Empty => {
                return Err(StoreError::NotMonigo { path: path.into() });
            }
            Found::Version(version) if version < latest(MIGRATIONS) => {
                drop(connection);
                // Bringing it up to date needs write access; without it, say so.
                return Self::open(path).map_err(|error| match error {
                    StoreError::NotAllowed { .. } => StoreError::OlderSchema {
                        path: path.into(),
                        found: version,
                        supported: latest(MIGRATIONS),
                    },
                    other => other,
                });
            }
            Found::Version(_) => {}
        }
        if !journal::is_left(path) {
            // An empty one serves nobody.
            let _ = journal::remove(path);
            return Self::ready(connection, Some(path), true);
        }
        drop(connection);
        if let Err(error) = Self::open(path) {
            tracing::warn!(
                "what was measured in the last seconds before monigo was killed is missing: {error}"
            );
        }
        Self::ready(connect(path, Purpose::Read)?, Some(path), true)
    }

    /// A database in memory, gone when it is dropped.
    pub fn in_memory() -> Result<Self, StoreError> {
        let failed = |error| StoreError::classify(&error, None, "opening a database in memory");
        let config = common_config()
            .and_then(|config| config.threads(recording_threads()))
            .map_err(failed)?;
        let connection = Connection::open_in_memory_with_flags(config).map_err(failed)?;
        migrate::migrate(&connection, 0, MIGRATIONS)?;
        Self::ready(connection, None, false)
    }

    /// The file; `None` for a database in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// A handle for asking questions while this one records.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Ok(Reader::new(Arc::clone(&self.pool)))
    }

    pub(super) fn error(&self, error: &duckdb::Error, doing: &'static str) -> StoreError {
        if message_of(error).contains("FATAL Error") {
            self.dead.store(true, Ordering::Release);
        }
        StoreError::classify(error, self.path(), doing)
    }

    fn ready(
        connection: Connection,
        path: Option<&Path>,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        lock_configuration(&connection, path)?;
        let seed = connection
            .try_clone()
            .map_err(|error| StoreError::classify(&error, path, "connecting to the database"))?;
        Ok(Self {
            connection,
            path: path.map(Path::to_owned),
            keep: None,
            next_look_ns: 0,
            progress: HashMap::new(),
            unswept: HashSet::new(),
            forgotten: HashMap::new(),
            pool: Pool::new(seed, !read_only, path.map(Path::to_owned)),
            dead: AtomicBool::new(false),
        })
    }
}

/// From here on no statement, whoever wrote it, can open files or change limits.
pub(super) fn lock_configuration(
    connection: &Connection,
    path: Option<&Path>,
) -> Result<(), StoreError> {
    connection
        .execute_batch("SET lock_configuration = true")
        .map_err(|error| StoreError::classify(&error, path, "configuring the database"))
}

/// Settings shared by every database.
fn common_config() -> Result<Config, duckdb::Error> {
    Config::default()
        // Without this DuckDB would spill into the working directory or beside the file. It has to
        // come first: without external access it can no longer be set.
        .with("temp_directory", "")?
        // monigo often runs as root: SQL must reach neither other files nor the network.
        .enable_external_access(false)?
        .enable_autoload_extension(false)
}

pub(super) fn connect(path: &Path, purpose: Purpose) -> Result<Connection, StoreError> {
    let config = || match purpose {
        Purpose::Record => common_config()?
            .access_mode(AccessMode::ReadWrite)?
            .with("checkpoint_threshold", CHECKPOINT_THRESHOLD)?
            .max_memory(&format!("{FILE_MEMORY}B"))?
            .threads(recording_threads()),
        Purpose::Read => common_config()?.access_mode(AccessMode::ReadOnly),
    };
    config()
        .and_then(|config| Connection::open_with_flags(path, config))
        .map_err(|error| StoreError::classify(&error, Some(path), "opening the database"))
}

/// Half of the CPUs, at most 4: the target needs the rest.
fn recording_threads() -> i64 {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    (cpus / 2).clamp(1, 4) as i64
}

/// The mistakes whose `DuckDB` messages would puzzle.
fn check_path(path: &Path) -> Result<(), StoreError> {
    let named = || path.to_owned();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(StoreError::IsDirectory { path: named() }),
        Ok(metadata) if !metadata.is_file() => Err(StoreError::NotADatabase { path: named() }),
        Ok(_) => Ok(()),
        Err(_) => {
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            if directory.is_dir() {
                Ok(())
            } else {
                Err(StoreError::NoDirectory {
                    path: named(),
                    directory: directory.to_owned(),
                })
            }
        }
    }
}

fn check_schema(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<Found, StoreError> {
    let found = migrate::inspect(connection)
        .map_err(|error| StoreError::classify(&error, Some(path), "reading the schema"))?;
    match found {
        Found::Version(version) if version > latest(migrations) => Err(StoreError::NewerSchema {
            path: path.into(),
            found: version,
            supported: latest(migrations),
        }),
        found => Ok(found),
    }
}

fn latest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}
