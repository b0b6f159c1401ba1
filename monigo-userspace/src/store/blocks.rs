//! Sums over blocks of flush intervals, so that questions over long times read less. Intervals that were merged
//! are in blocks as well, of as many steps.

use duckdb::{Connection, params};

use super::rows::Flush;

/// Flushes in a block, and steps in one of merged intervals. Before any are merged, the ids of the flushes of
/// block n are `BLOCK * n` and the following.
pub(crate) const BLOCK: i64 = 8;

/// Sums the block up that `flush` is the last one of, if it is and nothing of it was deleted or merged.
pub(super) fn append(connection: &Connection, flush: &Flush<'_>) -> Result<(), duckdb::Error> {
    let &Flush {
        session, id, at_ns, ..
    } = flush;
    if id % BLOCK != BLOCK - 1 {
        return Ok(());
    }
    let first = id + 1 - BLOCK;
    let (flushes, from_ns): (i64, Option<i64>) = connection.query_row(
        "SELECT count(*), min(from_ns) FROM flushes WHERE session_id = ? AND flush_id BETWEEN ? AND ?",
        [session, first, id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Ids count up from 1.
    let (true, Some(from_ns)) = (flushes == id + 1 - first.max(1), from_ns) else {
        return Ok(());
    };
    connection.execute(
        "INSERT INTO blocks VALUES (?, ?, ?, ?)",
        [session, id, from_ns, at_ns],
    )?;
    connection.execute(
        "INSERT INTO histogram_blocks
         SELECT session_id, function_id, ?, ?, ?, bucket, sum(count)::BIGINT FROM histogram_deltas
         WHERE session_id = ? AND flush_id BETWEEN ? AND ? GROUP BY session_id, function_id, bucket
         ORDER BY function_id, bucket",
        params![id, from_ns, at_ns, session, first, id],
    )?;
    Ok(())
}

/// Sums up what the session has of merged intervals before `before_ns` that no block has yet. Blocks end at
/// multiples of `BLOCK` steps of `step_ns`; the last intervals wait until their block is complete.
pub(super) fn append_merged(
    connection: &Connection,
    session: i64,
    before_ns: i64,
    step_ns: i64,
) -> Result<(), duckdb::Error> {
    let length_ns = step_ns.saturating_mul(BLOCK);
    let last_ns: i64 = connection.query_row(
        "SELECT coalesce(max(at_ns), ?) FROM blocks WHERE session_id = ? AND at_ns < ?",
        [i64::MIN, session, before_ns],
        |row| row.get(0),
    )?;
    let complete_ns = before_ns.div_euclid(length_ns) * length_ns;
    let chosen = format!("session_id = {session} AND at_ns > {last_ns} AND at_ns < {complete_ns}");
    connection.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE coarse_blocks AS
             SELECT session_id, max(flush_id) AS flush_id, min(from_ns) AS from_ns, max(at_ns) AS at_ns,
                    at_ns // {length_ns} AS block
             FROM flushes WHERE {chosen} GROUP BY ALL;
         INSERT INTO blocks SELECT session_id, flush_id, from_ns, at_ns FROM coarse_blocks ORDER BY at_ns;
         INSERT INTO histogram_blocks
             SELECT h.session_id, function_id, b.flush_id, b.from_ns, b.at_ns, bucket, sum(count)::BIGINT
             FROM (FROM histogram_deltas WHERE {chosen}) h
                  JOIN coarse_blocks b ON h.at_ns // {length_ns} = b.block
             GROUP BY ALL ORDER BY b.at_ns, function_id, bucket;
         DROP TABLE coarse_blocks"
    ))
}

/// Deletes the blocks of which something from `from_ns` on and before `to_ns` is deleted or merged, of one
/// session or all.
pub(super) fn delete(
    connection: &Connection,
    session: Option<i64>,
    from_ns: i64,
    to_ns: i64,
) -> Result<(), duckdb::Error> {
    for table in ["blocks", "histogram_blocks"] {
        connection.execute(
            &format!(
                "DELETE FROM {table}
                 WHERE at_ns >= ? AND from_ns < ? AND session_id = coalesce(?, session_id)"
            ),
            params![from_ns, to_ns, session],
        )?;
    }
    Ok(())
}
