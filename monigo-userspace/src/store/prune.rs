//! Deleting what is older than the retention.

use std::sync::atomic::Ordering;

use duckdb::{Connection, params};

use super::{Database, StoreError, database::Retention};

/// What [`Database::prune`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Sessions deleted with all that belonged to them.
    pub sessions: usize,
    /// Rows deleted from sessions that remain.
    pub rows: usize,
}

/// Tables whose rows carry the flush that wrote them, or their own time.
const TIMED: [&str; 9] = [
    "function_deltas",
    "histogram_deltas",
    "calls",
    "samples",
    "sample_callers",
    "losses",
    "notices",
    "readings",
    "flushes",
];
/// Tables whose rows live as long as their session.
const UNTIMED: [&str; 7] = [
    "functions",
    "session_warnings",
    "frames",
    "stacks",
    "stack_frames",
    "processes",
    "sessions",
];

/// Longest time between two looks for what is too old, ns.
const LOOK_EVERY_NS: i64 = 3_600_000_000_000;

impl Database {
    /// Deletes what is older than `keep_ns` now, at `now_ns` (Unix time), and from then on now
    /// and again while batches are appended.
    pub fn retain(&mut self, keep_ns: i64, now_ns: i64) -> Result<Pruned, StoreError> {
        let next_ns = now_ns.saturating_add((keep_ns / 10).min(LOOK_EVERY_NS));
        self.retention = Some(Retention { keep_ns, next_ns });
        self.prune(now_ns.saturating_sub(keep_ns))
    }

    /// Deletes what is too old, if it is time to look. Recording matters more, so a failure is
    /// only logged, and tried again at the next look.
    pub(super) fn prune_if_due(&mut self, now_ns: i64) {
        if let Some(Retention { keep_ns, next_ns }) = self.retention
            && now_ns >= next_ns
            && let Err(error) = self.retain(keep_ns, now_ns)
        {
            tracing::warn!("old measurements could not be deleted: {error}");
        }
    }

    /// Deletes measurements from before `cutoff_ns` (Unix time in ns), and sessions that ended
    /// before it. Of a session that goes on, the totals start anew at the cutoff; calls that were
    /// open then stay counted as in flight.
    pub fn prune(&mut self, cutoff_ns: i64) -> Result<Pruned, StoreError> {
        let writing: Vec<i64> = self.progress.keys().copied().collect();
        let pruned = self.transaction("deleting old measurements", |connection| {
            let sessions = delete_sessions(connection, cutoff_ns, &writing)?;
            let rows = trim_sessions(connection, cutoff_ns)?;
            Ok(Pruned { sessions, rows })
        })?;
        if pruned != Pruned::default() {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.checkpoint();
        }
        Ok(pruned)
    }
}

fn delete_sessions(
    connection: &Connection,
    cutoff_ns: i64,
    writing: &[i64],
) -> Result<usize, duckdb::Error> {
    let mut statement = connection.prepare(
        "SELECT session_id FROM sessions s
         WHERE coalesce(ended_ns, (SELECT max(at_ns) FROM flushes f WHERE f.session_id = s.session_id),
                        started_ns) < ?",
    )?;
    let old = statement
        .query_map([cutoff_ns], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    let mut deleted = 0;
    for session in old.into_iter().filter(|id| !writing.contains(id)) {
        for table in TIMED.iter().chain(&UNTIMED) {
            connection.execute(
                &format!("DELETE FROM {table} WHERE session_id = ?"),
                [session],
            )?;
        }
        deleted += 1;
    }
    Ok(deleted)
}

fn trim_sessions(connection: &Connection, cutoff_ns: i64) -> Result<usize, duckdb::Error> {
    let old: i64 = connection.query_row(
        "SELECT count(*) FROM flushes WHERE at_ns < ?",
        [cutoff_ns],
        |row| row.get(0),
    )?;
    if old == 0 {
        return Ok(0);
    }
    connection.execute(
        "UPDATE sessions SET pruned_before_ns = ?
         WHERE session_id IN (SELECT session_id FROM flushes WHERE at_ns < ?)",
        params![cutoff_ns, cutoff_ns],
    )?;
    // One row a function carries the calls that were open at the cutoff.
    connection
        .execute_batch("CREATE OR REPLACE TEMP TABLE carried AS FROM function_deltas LIMIT 0")?;
    connection.execute(
        "INSERT INTO carried
         SELECT session_id, function_id, 0, ?, greatest(sum(entered) - sum(calls) - sum(unwound), 0),
                0, 0, 0, 0, NULL, NULL, 0, 0, 0
         FROM function_deltas WHERE at_ns < ? GROUP BY session_id, function_id",
        params![cutoff_ns, cutoff_ns],
    )?;
    let mut rows = 0;
    for table in TIMED {
        rows += connection.execute(&format!("DELETE FROM {table} WHERE at_ns < ?"), [cutoff_ns])?;
    }
    connection.execute_batch(
        "INSERT INTO function_deltas FROM carried WHERE entered > 0; DROP TABLE carried",
    )?;
    Ok(rows)
}
