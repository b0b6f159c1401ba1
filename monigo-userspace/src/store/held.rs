//! Batches that are not in the tables yet.
//!
//! What a write costs hardly depends on how much it writes. So batches of a recording at which nobody looks are
//! held for some seconds and written together. A question writes them first, and for a while after it each batch is
//! written at once. Should this process be killed, the [`journal`] has them.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use duckdb::Connection;

use super::{
    Batch, Database, StoreError,
    append::in_transaction,
    journal::{self, Journal},
    rows::{self, Flush},
};
use crate::sync::lock;

/// Longest time between two writes, ns.
const LONGEST_NS: i64 = 10_000_000_000;
/// Most rows that are held, so that they need little memory; with more, it is they that a write costs.
const MOST_ROWS: usize = 10_000;
/// How long after a question somebody is taken to look.
const LOOKS: Duration = Duration::from_secs(3);

/// Batches that are held, and who asks for them.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<State>);

/// The same, for the one who has it.
#[derive(Debug, Default)]
pub(super) struct State {
    holds: bool,
    flushes: Vec<Flush<'static>>,
    rows: usize,
    /// When somebody asked last.
    asked: Option<Instant>,
    /// `None` for a database in memory.
    journal: Option<Journal>,
}

impl Held {
    /// Waits for those who write held batches.
    pub fn get(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// Somebody asks: writes what is held, by `connection`. What fails stays, and the recording tries it again.
    pub fn settle(&self, connection: &Connection) {
        let mut state = self.get();
        state.asked = Some(Instant::now());
        if state.is_empty() {
            return;
        }
        if let Err(error) = state.write(connection) {
            tracing::debug!(%error, "what is held could not be written");
        }
    }
}

impl State {
    /// Takes a batch, if it is to be held.
    pub fn take(&mut self, flush: &Flush<'_>) -> bool {
        let rows = rows_of(&flush.batch);
        let first = self.flushes.first().unwrap_or(flush);
        let looks = self.asked.is_some_and(|asked| asked.elapsed() < LOOKS);
        if !self.holds
            || looks
            || self.rows + rows > MOST_ROWS
            || flush.at_ns - first.from_ns >= LONGEST_NS
        {
            return false;
        }
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(flush)
        {
            tracing::debug!(%error, "the journal could not be written");
            return false;
        }
        self.rows += rows;
        self.flushes.push(flush.owned());
        true
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.flushes.is_empty()
    }

    /// What is held.
    pub fn flushes(&self) -> Vec<&Flush<'_>> {
        self.flushes.iter().collect()
    }

    /// Writes it.
    pub fn write(&mut self, connection: &Connection) -> Result<(), duckdb::Error> {
        in_transaction(connection, |connection| {
            rows::write(connection, &self.flushes())
        })?;
        self.written();
        Ok(())
    }

    /// The tables have it.
    pub fn written(&mut self) {
        self.flushes.clear();
        self.rows = 0;
        if let Some(journal) = &mut self.journal {
            journal.clear();
        }
    }

    /// The tables have those of the session until flush `id`; the end of the last one that is left.
    pub fn last_after(&mut self, session: i64, id: i64) -> Option<(i64, i64)> {
        self.flushes
            .retain(|flush| flush.session != session || flush.id > id);
        let own = self.flushes.iter().rfind(|flush| flush.session == session);
        own.map(|flush| (flush.id, flush.at_ns))
    }

    /// No session goes on.
    pub fn end(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.delete();
        }
    }
}

impl Database {
    /// From now on, batches at which nobody looks may be held for up to 10 s before they are written.
    #[must_use]
    pub fn holding(self) -> Self {
        let mut held = self.pool.held().get();
        held.holds = true;
        held.journal = self.path.as_deref().map(Journal::new);
        drop(held);
        self
    }
}

fn rows_of(batch: &Batch) -> usize {
    let buckets = batch.functions.iter().map(|delta| delta.buckets.len());
    let callers = batch.samples.iter().map(|sample| sample.callers.len());
    let frames = batch.stacks.iter().map(|stack| stack.frames.len());
    let rows = [
        batch.functions.len(),
        batch.calls.len(),
        batch.samples.len(),
        batch.frames.len(),
        batch.stacks.len(),
        batch.readings.len(),
        batch.notices.len(),
    ];
    rows.into_iter()
        .chain(buckets)
        .chain(callers)
        .chain(frames)
        .sum()
}

/// Puts what a process that was killed had held into the tables.
pub(super) fn recover(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed =
        |error| StoreError::classify(&error, Some(path), "recovering what was measured last");
    let left = match journal::read(path) {
        Ok(left) => left,
        Err(error) => {
            let journal = journal::path(path);
            tracing::warn!(
                "{} cannot be read, and what it holds is missing: {error}",
                journal.display()
            );
            return Ok(());
        }
    };
    if !left.is_empty() {
        let written = in_transaction(connection, |connection| {
            let mut missing = Vec::new();
            for flush in &left {
                if is_missing(connection, flush)? {
                    missing.push(flush);
                }
            }
            rows::write(connection, &missing)?;
            Ok(missing.len())
        });
        let written = written.map_err(failed)?;
        tracing::info!(
            "{written} intervals were recovered that monigo had measured before it was killed"
        );
    }
    if let Err(error) = journal::remove(path) {
        tracing::debug!(%error, "the journal could not be deleted");
    }
    Ok(())
}

/// Whether the flush is of a session that was not ended, and is not in the tables.
fn is_missing(connection: &Connection, flush: &Flush<'_>) -> Result<bool, duckdb::Error> {
    connection.query_row(
        "SELECT count(*) > 0 FROM sessions
         WHERE session_id = ? AND ended_ns IS NULL AND started_ns <= ?
           AND NOT EXISTS (FROM flushes WHERE session_id = ? AND (flush_id >= ? OR at_ns >= ?))",
        [
            flush.session,
            flush.from_ns,
            flush.session,
            flush.id,
            flush.at_ns,
        ],
        |row| row.get(0),
    )
}
