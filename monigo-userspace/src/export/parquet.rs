//! Recorded calls as Parquet, for whoever has a data frame to put them in.

use std::fs;

use duckdb::{Connection, params, types::Value as Cell};
use serde_json::Value;

use super::OutputError;
use crate::query::{CallSpan, QueryError, Source};

/// Calls fetched in one go.
const STEP: u32 = 100_000;

const COLUMNS: &str =
    "function VARCHAR, image VARCHAR, started_at TIMESTAMP_NS, duration_ns BIGINT,
    pid INTEGER, tid INTEGER, goid BIGINT, cpu INTEGER, weight BIGINT, stack VARCHAR";

/// The recorded calls of a selection, oldest first, with their stacks in folded form
/// (outermost function first). `weight` says how many calls each stands for.
pub(super) fn calls_parquet(source: &dyn Source, calls: &CallSpan) -> Result<Vec<u8>, OutputError> {
    let failed = |error: duckdb::Error| OutputError::Query(QueryError::from(error));
    let overview = source.overview()?;
    let table = Connection::open_in_memory().map_err(failed)?;
    table
        .execute_batch(&format!("CREATE TABLE calls ({COLUMNS})"))
        .map_err(failed)?;
    let mut offset = 0_u64;
    loop {
        // What is flushed while this runs is left for another time, or rows would shift.
        let rows = source.sql(
            &format!(
                "SELECT name, image, start_ns, duration_ns, pid, tid, goid, cpu, weight, folded
                 FROM calls c JOIN functions f USING (session_id, function_id)
                 LEFT JOIN (
                     SELECT session_id, stack_id, string_agg(replace(function, ';', ':'), ';' ORDER BY depth DESC) AS folded
                     FROM stack_frames JOIN frames USING (session_id, frame_id) GROUP BY ALL
                 ) USING (session_id, stack_id)
                 WHERE {} AND at_ns <= {}
                 ORDER BY at_ns, start_ns, tid, c.function_id LIMIT {STEP} OFFSET {offset}",
                calls.calls_condition("c"),
                overview.last_flush_ns.unwrap_or(0),
            ),
            STEP,
        )?;
        let mut appender = table.appender("calls").map_err(failed)?;
        for row in &rows.rows {
            let at = integer(row, 2).unwrap_or(0);
            let at = Cell::Timestamp(duckdb::types::TimeUnit::Nanosecond, at);
            appender
                .append_row(params![
                    text(row, 0),
                    text(row, 1),
                    at,
                    integer(row, 3),
                    integer(row, 4),
                    integer(row, 5),
                    integer(row, 6),
                    integer(row, 7),
                    integer(row, 8),
                    text(row, 9),
                ])
                .map_err(failed)?;
        }
        appender.flush().map_err(failed)?;
        drop(appender);
        offset += rows.rows.len() as u64;
        if rows.rows.len() < STEP as usize {
            break;
        }
    }
    if offset == 0 {
        return Err(OutputError::NoStacks);
    }
    let unwritable = |source| OutputError::Io {
        path: std::env::temp_dir(),
        source,
    };
    let directory = tempfile::tempdir().map_err(unwritable)?;
    let file = directory.path().join("calls.parquet");
    let path = file.to_string_lossy().replace('\'', "''");
    table
        .execute_batch(&format!(
            "COPY calls TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        ))
        .map_err(failed)?;
    fs::read(&file).map_err(unwritable)
}

fn text(row: &[Value], column: usize) -> Option<&str> {
    row.get(column).and_then(Value::as_str)
}

/// Numbers that JSON cannot hold come as text.
pub(super) fn integer(row: &[Value], column: usize) -> Option<i64> {
    match row.get(column)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
