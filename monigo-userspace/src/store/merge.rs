//! Merging old flush intervals to coarser ones. Sums, counts and histograms stay exact.

use duckdb::Connection;

use super::{Database, StoreError, blocks};

/// Merged intervals made in one go, so that the next batch need not wait for long.
const MOST_STEPS: i64 = 60;

/// A session, and where its intervals are not merged yet.
struct Part {
    session: i64,
    from_ns: i64,
    to_ns: i64,
    /// There is more behind it.
    more: bool,
}

impl Database {
    /// Merges intervals that ended before `before_ns` (Unix time in ns) into intervals of `step_ns`.
    /// Does a part of the work; whether there is more.
    pub(super) fn merge(&mut self, before_ns: i64, step_ns: i64) -> Result<bool, StoreError> {
        let step_ns = step_ns.max(1);
        let before_ns = before_ns.div_euclid(step_ns) * step_ns;
        let parts = unmerged(&self.connection, before_ns, step_ns)
            .map_err(|error| self.error(&error, "looking for old intervals"))?;
        if parts.is_empty() {
            return Ok(false);
        }
        self.transaction("merging old intervals", |connection| {
            parts
                .iter()
                .try_for_each(|part| merge_part(connection, part, step_ns))
        })?;
        self.pool.start_epoch();
        self.checkpoint();
        Ok(parts.iter().any(|part| part.more))
    }
}

fn unmerged(
    connection: &Connection,
    before_ns: i64,
    step_ns: i64,
) -> Result<Vec<Part>, duckdb::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT session_id, min(at_ns) // ? * ? FROM flushes JOIN sessions USING (session_id)
         WHERE at_ns < ? AND at_ns >= coalesce(merged_before_ns, 0) GROUP BY session_id",
    )?;
    let part = |session, from_ns: i64| {
        let to_ns = before_ns.min(from_ns.saturating_add(MOST_STEPS.saturating_mul(step_ns)));
        Part {
            session,
            from_ns,
            to_ns,
            more: to_ns < before_ns,
        }
    };
    statement
        .query_map([step_ns, step_ns, before_ns], |row| {
            Ok(part(row.get(0)?, row.get(1)?))
        })?
        .collect()
}

fn merge_part(connection: &Connection, part: &Part, step_ns: i64) -> Result<(), duckdb::Error> {
    let Part {
        session,
        from_ns,
        to_ns,
        ..
    } = part;
    let chosen = format!("session_id = {session} AND at_ns >= {from_ns} AND at_ns < {to_ns}");
    // Rows of which nothing is known about durations, estimates, and the like stay apart: sums over
    // them are extended in other ways.
    connection.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE coarse_flushes AS
             SELECT session_id, max(flush_id) AS flush_id, min(from_ns) AS from_ns, max(at_ns) AS at_ns,
                    sum(beside_ns)::BIGINT AS beside_ns, at_ns // {step_ns} AS step
             FROM flushes WHERE {chosen} GROUP BY ALL;
         CREATE OR REPLACE TEMP TABLE coarse_deltas AS
             SELECT d.session_id, function_id, c.flush_id, c.at_ns, sum(entered)::BIGINT,
                    sum(calls)::BIGINT, sum(unwound)::BIGINT, sum(unmatched)::BIGINT,
                    sum(total_ns)::BIGINT, min(min_ns), max(max_ns), sum(self_ns)::BIGINT,
                    sum(timed)::BIGINT, sum(variance)::BIGINT
             FROM (FROM function_deltas WHERE {chosen}) d JOIN coarse_flushes c ON d.at_ns // {step_ns} = c.step
             GROUP BY d.session_id, function_id, c.flush_id, c.at_ns,
                      timed > 0 OR total_ns > 0, variance > 0, timed > calls, self_ns IS NULL;
         CREATE OR REPLACE TEMP TABLE coarse_histograms AS
             SELECT h.session_id, function_id, c.flush_id, c.at_ns, bucket, sum(count)::BIGINT
             FROM (FROM histogram_deltas WHERE {chosen}) h JOIN coarse_flushes c ON h.at_ns // {step_ns} = c.step
             GROUP BY ALL;
         CREATE OR REPLACE TEMP TABLE coarse_losses AS
             SELECT l.session_id, c.at_ns, cause, sum(count)::BIGINT
             FROM (FROM losses WHERE {chosen}) l JOIN coarse_flushes c ON l.at_ns // {step_ns} = c.step
             GROUP BY ALL;
         CREATE OR REPLACE TEMP TABLE coarse_readings AS
             SELECT session_id, min(at_ns), name, sum(value * looks) / sum(looks), min(lowest),
                    max(highest), sum(looks)::BIGINT
             FROM readings WHERE {chosen} GROUP BY session_id, name, at_ns // {step_ns};"
    ))?;
    for (table, coarse) in [
        (
            "flushes",
            "SELECT session_id, flush_id, from_ns, at_ns, beside_ns FROM coarse_flushes",
        ),
        ("function_deltas", "FROM coarse_deltas ORDER BY ALL"),
        ("histogram_deltas", "FROM coarse_histograms ORDER BY ALL"),
        ("losses", "FROM coarse_losses"),
        ("readings", "FROM coarse_readings ORDER BY ALL"),
    ] {
        connection.execute_batch(&format!(
            "DELETE FROM {table} WHERE {chosen}; INSERT INTO {table} {coarse}"
        ))?;
    }
    blocks::delete(connection, Some(*session), *from_ns, *to_ns)?;
    blocks::append_merged(connection, *session, *to_ns, step_ns)?;
    connection.execute_batch(&format!(
        "DROP TABLE coarse_flushes; DROP TABLE coarse_deltas; DROP TABLE coarse_histograms;
         DROP TABLE coarse_losses; DROP TABLE coarse_readings;
         UPDATE sessions SET merged_before_ns = {to_ns} WHERE session_id = {session}"
    ))
}
