//! Deleting what is older than the retention.

use duckdb::{Connection, params};

use super::{Database, StoreError, blocks};

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
/// Tables whose rows live as long as their session, and blocks.
const UNTIMED: [&str; 9] = [
    "blocks",
    "histogram_blocks",
    "functions",
    "session_warnings",
    "frames",
    "stacks",
    "stack_frames",
    "processes",
    "sessions",
];

/// Tables of single calls and samples.
const DETAILS: [&str; 3] = ["calls", "samples", "sample_callers"];

impl Database {
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
            self.pool.start_epoch();
            self.checkpoint();
        }
        Ok(pruned)
    }

    /// Deletes single calls and samples from before `cutoff_ns` (Unix time in ns); counters and
    /// histograms stay. Returns how many.
    pub(super) fn prune_details(&mut self, cutoff_ns: i64) -> Result<usize, StoreError> {
        let rows = self.transaction("deleting old calls and samples", |connection| {
            let mut rows = 0;
            for table in DETAILS {
                let sql = format!("DELETE FROM {table} WHERE at_ns < ?");
                rows += connection.execute(&sql, [cutoff_ns])?;
            }
            if rows > 0 {
                connection.execute(
                    "UPDATE sessions SET detailed_from_ns = ? WHERE started_ns < ?",
                    params![cutoff_ns, cutoff_ns],
                )?;
            }
            Ok(rows)
        })?;
        if rows > 0 {
            self.pool.start_epoch();
            self.checkpoint();
        }
        Ok(rows)
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
    blocks::delete(connection, None, cutoff_ns)?;
    connection.execute_batch(
        "INSERT INTO function_deltas FROM carried WHERE entered > 0; DROP TABLE carried",
    )?;
    Ok(rows)
}
