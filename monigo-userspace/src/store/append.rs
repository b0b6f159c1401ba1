//! Writing sessions and batches.

use std::{borrow::Cow, sync::Arc};

use duckdb::{Connection, params};

use super::{
    Batch, Database, Forgotten, NewFunction, NewSession, StorageSettings, Store, StoreError,
    database::Progress,
    functions,
    rows::{self, Flush},
};

impl Store for Database {
    fn begin_session(&mut self, session: &NewSession) -> Result<i64, StoreError> {
        let id = self.transaction("beginning a session", |connection| {
            insert_session(connection, session)
        })?;
        let progress = Progress {
            at_ns: session.started_ns,
            flush: 0,
            certain: true,
        };
        self.progress.insert(id, progress);
        Ok(id)
    }

    fn append(&mut self, session: i64, batch: &Batch) -> Result<(), StoreError> {
        self.revive()?;
        let last = self.progress(session)?;
        // Flush times order what readers have summed up, so they always grow, whatever the clock
        // does.
        let next = Progress {
            at_ns: batch.at_ns.max(last.at_ns + 1),
            flush: last.flush + 1,
            certain: true,
        };
        let from_ns = last.at_ns.saturating_add_unsigned(batch.skipped_ns);
        let flush = Flush {
            session,
            id: next.flush,
            from_ns: from_ns.min(next.at_ns - 1),
            at_ns: next.at_ns,
            batch: Cow::Borrowed(batch),
        };
        let pool = Arc::clone(&self.pool);
        let mut held = pool.held().get();
        if held.take(&flush) {
            self.progress.insert(session, next);
            return Ok(());
        }
        // Questions wait only for what they would miss.
        let mut held = Some(held).filter(|held| !held.is_empty());
        let mut flushes = held.as_ref().map_or_else(Vec::new, |held| held.flushes());
        flushes.push(&flush);
        let batches: Vec<&Batch> = flushes.iter().map(|flush| flush.batch.as_ref()).collect();
        self.make_room(session, &batches)?;
        self.transaction("writing a batch", |connection| {
            rows::write(connection, &flushes)
        })?;
        if let Some(held) = &mut held {
            held.written();
        }
        drop(held);
        self.progress.insert(session, next);
        self.attend(next.at_ns);
        if let Err(error) = self.sweep_before(session, &[&in_hand(batch)]) {
            tracing::warn!("stacks that nothing refers to could not be deleted: {error}");
        }
        Ok(())
    }

    fn add_functions(
        &mut self,
        session: i64,
        first: u32,
        functions: &[NewFunction],
    ) -> Result<(), StoreError> {
        self.revive()?;
        self.transaction("adding functions", |connection| {
            functions::append(connection, session, first, functions)
        })
    }

    fn remove_functions(&mut self, session: i64, first: u32) -> Result<(), StoreError> {
        self.transaction("removing functions", |connection| {
            functions::remove(connection, session, first)
        })
    }

    fn end_session(&mut self, session: i64, ended_ns: i64) -> Result<(), StoreError> {
        self.revive()?;
        let last = self.progress(session)?;
        let pool = Arc::clone(&self.pool);
        let mut held = pool.held().get();
        if !held.is_empty() {
            let written = held.write(&self.connection);
            written.map_err(|error| self.error(&error, "writing the last batches"))?;
        }
        self.transaction("ending the session", |connection| {
            connection.execute(
                "UPDATE sessions SET ended_ns = ? WHERE session_id = ?",
                params![ended_ns.max(last.at_ns), session],
            )
        })?;
        self.progress.remove(&session);
        if self.progress.is_empty() {
            held.end();
        }
        drop(held);
        self.forgotten.remove(&session);
        if self.unswept.remove(&session) {
            self.leave_stacks(vec![session])?;
        }
        self.checkpoint();
        Ok(())
    }

    fn take_forgotten(&mut self, session: i64) -> Forgotten {
        self.forgotten.remove(&session).unwrap_or_default()
    }

    fn apply(&mut self, settings: &StorageSettings) -> Result<(), StoreError> {
        self.revive()?;
        self.keep(settings, crate::collect::unix_ns())?;
        Ok(())
    }
}

impl Database {
    /// Runs `work` in a transaction: all of it happens, or nothing.
    pub(super) fn transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, duckdb::Error>,
    ) -> Result<T, StoreError> {
        in_transaction(&self.connection, work).map_err(|error| self.error(&error, doing))
    }

    /// Where a session stands, from memory or, for one that another run began, from the tables.
    fn progress(&mut self, session: i64) -> Result<Progress, StoreError> {
        if let Some(progress) = self
            .progress
            .get(&session)
            .filter(|progress| progress.certain)
        {
            return Ok(*progress);
        }
        let found = self.connection.query_row(
            "SELECT greatest(started_ns, coalesce(max(at_ns), 0)), coalesce(max(flush_id), 0)
             FROM sessions LEFT JOIN flushes USING (session_id)
             WHERE session_id = ? GROUP BY started_ns",
            [session],
            |row| {
                Ok(Progress {
                    at_ns: row.get(0)?,
                    flush: row.get(1)?,
                    certain: true,
                })
            },
        );
        match found {
            Ok(mut progress) => {
                let held = self.pool.held().get().last_after(session, progress.flush);
                if let Some((flush, at_ns)) = held {
                    (progress.flush, progress.at_ns) = (flush, at_ns);
                }
                self.progress.insert(session, progress);
                Ok(progress)
            }
            Err(duckdb::Error::QueryReturnedNoRows) => Err(StoreError::UnknownSession(session)),
            Err(error) => Err(self.error(&error, "looking up the session")),
        }
    }
}

/// Runs `work` in a transaction of `connection`: all of it happens, or nothing.
pub(super) fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, duckdb::Error>,
) -> Result<T, duckdb::Error> {
    let result = connection
        .execute_batch("BEGIN")
        .and_then(|()| work(connection))
        .and_then(|value| connection.execute_batch("COMMIT").map(|()| value));
    if result.is_err() {
        // A failed commit has rolled back already, and then this one fails.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// What the collector still has in hand when `batch` is written.
fn in_hand(batch: &Batch) -> Batch {
    Batch {
        held_stacks: batch.held_stacks.clone(),
        ..Batch::default()
    }
}

fn insert_session(connection: &Connection, session: &NewSession) -> Result<i64, duckdb::Error> {
    let id: i64 = connection.query_row(
        "SELECT coalesce(max(session_id), 0) + 1 FROM sessions",
        [],
        |row| row.get(0),
    )?;
    connection.execute(
        "INSERT INTO sessions (session_id, started_ns, monigo_version, host, kernel, command_line,
                               flush_ns, target_path, build_id, language, runtime_version, retention, label)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            session.started_ns,
            session.monigo_version,
            session.host,
            session.kernel,
            session.command_line,
            session.flush_ns,
            session.target_path,
            session.build_id,
            session.language.name(),
            session.runtime_version,
            session.retention,
            session.label,
        ],
    )?;
    for sentence in &session.warnings {
        connection.execute(
            "INSERT INTO session_warnings VALUES (?, ?)",
            params![id, sentence],
        )?;
    }
    functions::append(connection, id, 0, &session.functions)?;
    Ok(id)
}
