//! Sums over blocks of flush intervals, so that questions over long times read less.

use duckdb::{Connection, params};

use super::database::Progress;

/// Flushes in a block. The ids of those of block n are `BLOCK * n` and the following.
pub(crate) const BLOCK: i64 = 32;

/// Sums the block up that `now` is the last flush of, if it is. A block of which something was deleted
/// or merged stays without.
pub(super) fn append(
    connection: &Connection,
    session: i64,
    now: Progress,
) -> Result<(), duckdb::Error> {
    if now.flush % BLOCK != BLOCK - 1 {
        return Ok(());
    }
    let first = now.flush + 1 - BLOCK;
    let (flushes, from_ns): (i64, Option<i64>) = connection.query_row(
        "SELECT count(*), min(from_ns) FROM flushes WHERE session_id = ? AND flush_id >= ?",
        [session, first],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Ids count up from 1.
    let (true, Some(from_ns)) = (flushes == now.flush + 1 - first.max(1), from_ns) else {
        return Ok(());
    };
    connection.execute(
        "INSERT INTO blocks VALUES (?, ?, ?, ?)",
        [session, now.flush, from_ns, now.at_ns],
    )?;
    connection.execute(
        "INSERT INTO histogram_blocks
         SELECT session_id, function_id, ?, ?, ?, bucket, sum(count)::BIGINT FROM histogram_deltas
         WHERE session_id = ? AND flush_id >= ? GROUP BY session_id, function_id, bucket
         ORDER BY function_id, bucket",
        params![now.flush, from_ns, now.at_ns, session, first],
    )?;
    Ok(())
}

/// Deletes the blocks of which something before `cutoff_ns` is deleted or merged, of one session or all.
pub(super) fn delete(
    connection: &Connection,
    session: Option<i64>,
    cutoff_ns: i64,
) -> Result<(), duckdb::Error> {
    for table in ["blocks", "histogram_blocks"] {
        connection.execute(
            &format!(
                "DELETE FROM {table} WHERE from_ns < ? AND session_id = coalesce(?, session_id)"
            ),
            params![cutoff_ns, session],
        )?;
    }
    Ok(())
}
