//! Deleting stacks and frames that nothing refers to any more.
//!
//! The collector gives each distinct stack an id once, and refers to it for as long as the session lasts. So it
//! is told which ones are gone, and gives those that come again new ids. What it has in hand is left alone.

use std::collections::HashSet;

use duckdb::Connection;

use super::{Batch, Database, StoreError};

/// Ids of what was deleted of a session that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Stacks.
    pub stacks: Vec<u64>,
    /// Frames.
    pub frames: Vec<u64>,
}

/// Ids in one statement.
const AT_ONCE: usize = 10_000;

impl Database {
    /// Rows of these sessions were deleted that may have referred to stacks. Those of sessions that are being
    /// written wait for the next batch, since only then is it known what it refers to.
    pub(super) fn leave_stacks(&mut self, sessions: Vec<i64>) -> Result<(), StoreError> {
        for session in sessions {
            if self.progress.contains_key(&session) {
                self.unswept.insert(session);
            } else {
                self.sweep(session, &[])?;
            }
        }
        Ok(())
    }

    /// Deletes stacks and frames of the session that neither its rows nor `batches`, which come next, refer
    /// to, if rows were deleted since the last time.
    pub(super) fn sweep_before(
        &mut self,
        session: i64,
        batches: &[&Batch],
    ) -> Result<(), StoreError> {
        if self.unswept.contains(&session) {
            let gone = self.sweep(session, batches)?;
            self.unswept.remove(&session);
            if !gone.stacks.is_empty() {
                let forgotten = self.forgotten.entry(session).or_default();
                forgotten.stacks.extend(gone.stacks);
                forgotten.frames.extend(gone.frames);
            }
        }
        Ok(())
    }

    fn sweep(&mut self, session: i64, batches: &[&Batch]) -> Result<Forgotten, StoreError> {
        let (stacks, frames) = referred(batches);
        let gone = self.transaction("deleting stacks", |connection| {
            let unused = unused(
                connection,
                &format!(
                    "SELECT stack_id FROM stacks WHERE session_id = {session} EXCEPT
                     (SELECT stack_id FROM calls WHERE session_id = {session} UNION
                      SELECT stack_id FROM samples WHERE session_id = {session} UNION
                      SELECT waker_stack_id FROM samples WHERE session_id = {session})"
                ),
                &stacks,
            )?;
            if unused.is_empty() {
                return Ok(Forgotten::default());
            }
            for table in ["stacks", "stack_frames"] {
                delete(connection, table, "stack_id", session, &unused)?;
            }
            let stacks = unused;
            let sql = format!(
                "SELECT frame_id FROM frames WHERE session_id = {session} EXCEPT
                 SELECT frame_id FROM stack_frames WHERE session_id = {session}"
            );
            let unused = self::unused(connection, &sql, &frames)?;
            delete(connection, "frames", "frame_id", session, &unused)?;
            Ok(Forgotten {
                stacks,
                frames: unused,
            })
        })?;
        Ok(gone)
    }
}

/// Stacks and frames that batches refer to.
fn referred(batches: &[&Batch]) -> (HashSet<u64>, HashSet<u64>) {
    let (mut stacks, mut frames) = (HashSet::new(), HashSet::new());
    for batch in batches {
        stacks.extend(batch.calls.iter().filter_map(|call| call.stack));
        stacks.extend(batch.samples.iter().flat_map(|sample| {
            let waker = sample.waker.as_ref().and_then(|waker| waker.stack);
            sample.stack.into_iter().chain(waker)
        }));
        stacks.extend(&batch.held_stacks);
        frames.extend(batch.stacks.iter().flat_map(|stack| &stack.frames));
    }
    (stacks, frames)
}

fn unused(
    connection: &Connection,
    sql: &str,
    referred: &HashSet<u64>,
) -> Result<Vec<u64>, duckdb::Error> {
    let mut statement = connection.prepare(sql)?;
    let ids = statement.query_map([], |row| row.get(0))?;
    let ids: Vec<u64> = ids.collect::<Result<_, _>>()?;
    Ok(ids
        .into_iter()
        .filter(|id| !referred.contains(id))
        .collect())
}

fn delete(
    connection: &Connection,
    table: &str,
    column: &str,
    session: i64,
    ids: &[u64],
) -> Result<(), duckdb::Error> {
    for some in ids.chunks(AT_ONCE) {
        let listed: Vec<String> = some.iter().map(u64::to_string).collect();
        connection.execute_batch(&format!(
            "DELETE FROM {table} WHERE session_id = {session} AND {column} IN ({})",
            listed.join(", ")
        ))?;
    }
    Ok(())
}
