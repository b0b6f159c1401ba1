//! Deleting what is older than the retention. Sums of what is deleted are kept, so that totals since the start of
//! a session only grow.

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
pub(super) const TIMED: [&str; 9] = [
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
pub(super) const UNTIMED: [&str; 12] = [
    "deleted_deltas",
    "deleted_histograms",
    "deleted_losses",
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
    /// before it. Of a session that goes on, calls that were open then stay counted as in flight, and
    /// what was deleted stays in the totals since its start.
    pub fn prune(&mut self, cutoff_ns: i64) -> Result<Pruned, StoreError> {
        let writing: Vec<i64> = self.progress.keys().copied().collect();
        let (pruned, trimmed) = self.transaction("deleting old measurements", |connection| {
            let sessions = delete_sessions(connection, cutoff_ns, &writing)?;
            let trimmed = sessions_before(connection, "flushes", cutoff_ns)?;
            let rows = if trimmed.is_empty() {
                0
            } else {
                trim_sessions(connection, cutoff_ns)?
            };
            Ok((Pruned { sessions, rows }, trimmed))
        })?;
        if pruned != Pruned::default() {
            self.pool.start_epoch();
            self.leave_stacks(trimmed)?;
            self.checkpoint();
        }
        Ok(pruned)
    }

    /// Deletes single calls and samples from before `cutoff_ns` (Unix time in ns); counters and
    /// histograms stay. Returns how many.
    pub(super) fn prune_details(&mut self, cutoff_ns: i64) -> Result<usize, StoreError> {
        let (rows, trimmed) = self.transaction("deleting old calls and samples", |connection| {
            let mut trimmed = sessions_before(connection, "calls", cutoff_ns)?;
            trimmed.extend(sessions_before(connection, "samples", cutoff_ns)?);
            count_deleted_calls(connection, cutoff_ns)?;
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
            Ok((rows, trimmed))
        })?;
        if rows > 0 {
            self.pool.start_epoch();
            self.leave_stacks(trimmed)?;
            self.checkpoint();
        }
        Ok(rows)
    }
}

/// Sessions with rows in `table` from before `cutoff_ns`.
fn sessions_before(
    connection: &Connection,
    table: &str,
    cutoff_ns: i64,
) -> Result<Vec<i64>, duckdb::Error> {
    let sql = format!("SELECT DISTINCT session_id FROM {table} WHERE at_ns < ?");
    let mut statement = connection.prepare(&sql)?;
    let sessions = statement.query_map([cutoff_ns], |row| row.get(0))?;
    sessions.collect()
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
    connection.execute(
        "UPDATE sessions SET pruned_before_ns = ?
         WHERE session_id IN (SELECT session_id FROM flushes WHERE at_ns < ?)",
        params![cutoff_ns, cutoff_ns],
    )?;
    count_deleted_calls(connection, cutoff_ns)?;
    keep_sums(connection, cutoff_ns)?;
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
    blocks::delete(connection, None, i64::MIN, cutoff_ns)?;
    connection.execute_batch(
        "INSERT INTO function_deltas FROM carried WHERE entered > 0; DROP TABLE carried",
    )?;
    Ok(rows)
}

/// Adds what is about to be deleted to the sums of what was.
fn keep_sums(connection: &Connection, cutoff_ns: i64) -> Result<(), duckdb::Error> {
    // Rows that readers extend in different ways stay apart, as where intervals are merged.
    let sums = [
        (
            "deleted_deltas",
            format!(
                "SELECT session_id, function_id, (sum(calls) + sum(unwound))::BIGINT AS entered,
                        sum(calls)::BIGINT, sum(unwound)::BIGINT, sum(unmatched)::BIGINT,
                        sum(total_ns)::BIGINT, min(min_ns), max(max_ns), sum(self_ns)::BIGINT,
                        sum(timed)::BIGINT, sum(variance)::BIGINT
                 FROM (FROM deleted_deltas UNION ALL
                       SELECT session_id, function_id, entered, calls, unwound, unmatched, total_ns,
                              min_ns, max_ns, self_ns, timed, variance
                       FROM function_deltas WHERE at_ns < {cutoff_ns})
                 GROUP BY session_id, function_id, timed > 0 OR total_ns > 0, variance > 0,
                          timed > calls, self_ns IS NULL"
            ),
        ),
        (
            "deleted_histograms",
            format!(
                "SELECT session_id, function_id, bucket, sum(count)::BIGINT
                 FROM (FROM deleted_histograms UNION ALL
                       SELECT session_id, function_id, bucket, count
                       FROM histogram_deltas WHERE at_ns < {cutoff_ns})
                 GROUP BY ALL"
            ),
        ),
        (
            "deleted_losses",
            format!(
                "SELECT session_id, cause, sum(count)::BIGINT
                 FROM (FROM deleted_losses UNION ALL
                       SELECT session_id, cause, count FROM losses WHERE at_ns < {cutoff_ns})
                 GROUP BY ALL"
            ),
        ),
    ];
    for (table, sum) in sums {
        connection.execute_batch(&format!(
            "CREATE OR REPLACE TEMP TABLE sums AS {sum};
             DELETE FROM {table}; INSERT INTO {table} FROM sums; DROP TABLE sums"
        ))?;
    }
    Ok(())
}

/// Counts recorded calls that are about to be deleted.
fn count_deleted_calls(connection: &Connection, cutoff_ns: i64) -> Result<(), duckdb::Error> {
    connection.execute(
        "UPDATE sessions SET deleted_calls = coalesce(deleted_calls, 0) + old.rows
         FROM (SELECT session_id, count(*) AS rows FROM calls WHERE at_ns < ? GROUP BY 1) old
         WHERE sessions.session_id = old.session_id",
        [cutoff_ns],
    )?;
    Ok(())
}
