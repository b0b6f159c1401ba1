//! The store by subject.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod blocks;
mod devices;
mod files;
mod held;
mod retention;
mod schema;
mod since_start;
mod stacks;
mod upkeep;

use super::{
    Batch, Database, SampleKind, Store as _, StoreError,
    fixture::{self, SECOND, START},
};
use crate::query::{DuckSource, Window};

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("run.duckdb");
    (directory, file)
}

fn count(database: &Database, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let row = database.connection.query_row(&sql, [], |row| row.get(0));
    row.expect("counts")
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let (_directory, file) = temporary();
    let id = fixture::record(&mut Database::open(&file).expect("opens"));
    assert_eq!(id, 1);
    let database = Database::open_read_only(&file).expect("opens again");
    for (table, rows) in [
        ("sessions", 1),
        ("functions", 2),
        ("flushes", 3),
        ("function_deltas", 3),
        ("calls", 4),
        ("samples", 3),
        ("frames", 4),
        ("stacks", 2),
        ("stack_frames", 7),
        ("processes", 1),
        ("losses", 1),
        ("readings", 4),
        ("schema_version", 9),
    ] {
        assert_eq!(count(&database, table), rows, "{table}");
    }
    drop(database);
    let id = fixture::record(&mut Database::open(&file).expect("opens"));
    assert_eq!(id, 2);
}

#[test]
fn every_table_and_view_explains_itself() {
    let database = Database::in_memory().expect("opens");
    let undocumented: i64 = database
        .connection
        .query_row(
            "SELECT (SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND comment IS NULL)
                  + (SELECT count(*) FROM duckdb_views() WHERE NOT internal AND comment IS NULL)",
            [],
            |row| row.get(0),
        )
        .expect("counts");
    assert_eq!(undocumented, 0);
}

#[test]
fn views_agree_with_the_fixture() {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let (calls, in_flight, min, p50, p99, max): (i64, i64, i64, i64, i64, i64) = database
        .connection
        .query_row(
            "SELECT calls, in_flight, min_ns, p50_ns, p99_ns, max_ns FROM v_functions WHERE function_id = 0",
            [],
            |row| {
                let get = |i| row.get::<_, i64>(i);
                Ok((get(0)?, get(1)?, get(2)?, get(3)?, get(4)?, get(5)?))
            },
        )
        .expect("reads");
    assert_eq!((calls, in_flight, min, max), (1001, 1, 1000, 50_000_000));
    assert!((p50 - 501_000).abs() <= 15_030, "{p50}");
    assert!((p99 - 991_000).abs() <= 29_730, "{p99}");
    for sql in [
        "SELECT count(*) FROM latency_percentile(99.5)",
        "SELECT count(*) FROM v_sessions WHERE duration_s = 3 AND started_at = make_timestamp_ns(1764000000000000000)",
        "SELECT count(*) - 1 FROM v_stacks WHERE folded LIKE 'main.main;main.worker;%process_order' AND wall_ms >= 30",
        "SELECT count(*) - 2 FROM v_rates WHERE calls_per_s > 0 AND name = 'main.process_order'",
    ] {
        let rows: i64 = database
            .connection
            .query_row(sql, [], |row| row.get(0))
            .expect(sql);
        assert!(
            rows >= 0 && (rows > 0 || sql.contains(" - ")),
            "{sql}: {rows}"
        );
    }
}

#[test]
fn sql_buckets_agree_with_the_arithmetic() {
    let database = Database::in_memory().expect("opens");
    let mut statement = database
        .connection
        .prepare(
            "SELECT b, bucket_low_ns(b), bucket_mid_ns(b)
             FROM (SELECT range::SMALLINT AS b FROM range(?))",
        )
        .expect("prepares");
    let buckets = monigo_common::histogram::BUCKETS;
    let rows = statement
        .query_map([buckets as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("computes")
        .collect::<Result<Vec<(usize, u64, u64)>, _>>()
        .expect("reads");
    assert_eq!(rows.len(), buckets);
    for (bucket, low, mid) in rows {
        assert_eq!(low, monigo_common::histogram::bounds(bucket).0);
        assert_eq!(mid, monigo_common::histogram::representative(bucket));
    }
}

#[test]
fn a_failed_batch_is_absent_as_a_whole_and_can_be_retried() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    let batch = &fixture::batches()[0];
    database
        .connection
        .execute_batch("ALTER TABLE losses RENAME TO elsewhere")
        .expect("breaks the last table of a batch");
    let error = database.append(id, batch).expect_err("no such table");
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    for table in ["flushes", "calls", "frames", "function_deltas"] {
        assert_eq!(count(&database, table), 0, "{table}");
    }
    database
        .connection
        .execute_batch("ALTER TABLE elsewhere RENAME TO losses")
        .expect("repairs");
    database.append(id, batch).expect("second attempt");
    assert_eq!(count(&database, "calls"), 3);
    assert_eq!(count(&database, "flushes"), 1);
}

#[test]
fn an_unknown_session_is_refused() {
    let mut database = Database::in_memory().expect("opens");
    let error = database.append(9, &Batch::default());
    assert_eq!(error, Err(StoreError::UnknownSession(9)));
}

#[test]
fn flush_times_grow_even_if_the_clock_steps_back() {
    let mut database = Database::in_memory().expect("opens");
    let id = database
        .begin_session(&fixture::session())
        .expect("session");
    for at_ns in [START + SECOND, START - 5 * SECOND, START + SECOND] {
        let batch = Batch {
            at_ns,
            ..Batch::default()
        };
        database.append(id, &batch).expect("appends");
    }
    let distinct: i64 = database
        .connection
        .query_row(
            "SELECT count(DISTINCT at_ns) FROM flushes WHERE from_ns < at_ns",
            [],
            |r| r.get(0),
        )
        .expect("counts");
    assert_eq!(distinct, 3);
}
