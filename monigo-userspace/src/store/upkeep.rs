//! What a database does beside taking batches: folding its log into the file, deleting and merging
//! what is old, and opening itself anew after a failure.
//!
//! `DuckDB` can fold the log in at a commit by itself. If that fails for want of space, it says that the
//! commit failed although it did not, and refuses everything from then on. So commits never do it
//! here; it happens apart, when there is room for it.

use std::{
    fs, mem,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use duckdb::Connection;

use super::{
    Database, Pruned, StorageSettings, StoreError,
    database::{Purpose, connect, lock_configuration},
};
use crate::collect::before;

/// The log is folded into the file when it has this size.
const LOG_BYTES: u64 = 16 << 20;
/// Part of the limit that the log may take.
const LOG_SHARE: u64 = 16;
/// Free space that folding needs, beside twice the log.
const FOLD_BYTES: u64 = 4 << 20;
/// Longest wait for questions to end before the database is opened anew.
const PATIENCE: Duration = Duration::from_secs(1);

impl Database {
    /// Deletes and merges what these settings do not keep at `now_ns` (Unix time), and from then on
    /// does so while batches are appended.
    pub fn keep(&mut self, settings: &StorageSettings, now_ns: i64) -> Result<Pruned, StoreError> {
        self.keep = Some(settings.keep(self.path.is_none()));
        let pruned = self.look(now_ns)?;
        self.shrink()?;
        Ok(pruned)
    }

    /// What is to be done between two batches. Recording matters more, so a failure is only logged,
    /// and what failed is tried again at the next look.
    pub(super) fn attend(&mut self, now_ns: i64) {
        let limit = self.keep.and_then(|keep| keep.limit_bytes);
        let most = limit.map_or(LOG_BYTES, |limit| LOG_BYTES.min(limit / LOG_SHARE));
        if self.log_bytes() >= most {
            self.checkpoint();
        }
        if self.keep.is_some()
            && now_ns >= self.next_look_ns
            && let Err(error) = self.look(now_ns)
        {
            tracing::warn!("old measurements could not be deleted: {error}");
        }
    }

    fn look(&mut self, now_ns: i64) -> Result<Pruned, StoreError> {
        let Some(keep) = self.keep else {
            return Ok(Pruned::default());
        };
        self.next_look_ns = now_ns.saturating_add(keep.look_every_ns());
        let pruned = self.prune(before(now_ns, keep.age_ns))?;
        if keep.details_ns < keep.age_ns {
            self.prune_details(before(now_ns, keep.details_ns))?;
        }
        if self.merge(before(now_ns, keep.fine_ns), keep.step_ns)? {
            // There is more to merge; the next batch comes first.
            self.next_look_ns = now_ns;
        }
        Ok(pruned)
    }

    /// Folds the log into the file and frees what was deleted. Failing is harmless: the log is still
    /// there, and the next opening or checkpoint folds it in.
    pub(super) fn checkpoint(&self) {
        if let Some(path) = &self.path {
            let needed = 2 * self.log_bytes() + FOLD_BYTES;
            // Where nobody says, try.
            if free_bytes(path).is_some_and(|free| free < needed) {
                tracing::debug!("no room for a checkpoint");
                return;
            }
        }
        if let Err(error) = self.connection.execute_batch("CHECKPOINT") {
            let error = self.error(&error, "a checkpoint");
            tracing::debug!(%error, "checkpoint failed");
        }
    }

    /// Size of the write-ahead log, bytes; 0 in memory.
    pub(super) fn log_bytes(&self) -> u64 {
        let size = |path: &PathBuf| fs::metadata(log_path(path)).map_or(0, |found| found.len());
        self.path.as_ref().map_or(0, size)
    }

    /// Opens the database anew if a failure has made it refuse everything.
    pub(super) fn revive(&mut self) -> Result<(), StoreError> {
        if !self.dead.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(path) = self.path.clone() else {
            return Err(StoreError::Other(
                "the database in memory failed, and what it held is gone; start monigo again"
                    .to_owned(),
            ));
        };
        // Two instances on one file would damage it: every connection to the old one has to be gone.
        if !self.pool.close(PATIENCE) {
            return Err(StoreError::Failed {
                doing: "opening the database anew",
                message: "a question still runs on the old connection".to_owned(),
            });
        }
        let failed = |error: duckdb::Error| {
            StoreError::classify(&error, Some(&path), "opening the database anew")
        };
        let placeholder = Connection::open_in_memory().map_err(failed)?;
        drop(mem::replace(&mut self.connection, placeholder));
        let connection = connect(&path, Purpose::Record)?;
        lock_configuration(&connection, Some(&path))?;
        let seed = connection.try_clone().map_err(failed)?;
        self.connection = connection;
        self.pool.open(seed);
        self.pool.start_epoch();
        // Read again from the tables, whatever was committed at last.
        self.progress
            .values_mut()
            .for_each(|progress| progress.certain = false);
        self.dead.store(false, Ordering::Release);
        tracing::warn!("the database {} was opened anew", path.display());
        Ok(())
    }
}

/// The write-ahead log of a database.
pub(crate) fn log_path(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push(".wal");
    log.into()
}

/// Free space where `path` is, for those who may not use the reserve.
fn free_bytes(path: &Path) -> Option<u64> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let found = nix::sys::statvfs::statvfs(directory.unwrap_or(Path::new("."))).ok()?;
    Some(found.blocks_available() * found.fragment_size())
}
