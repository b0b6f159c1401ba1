//! Migrations.

use super::*;
use crate::{
    query::Source as _,
    store::migrate::{MIGRATIONS, Migration},
};

const TODAY: i64 = MIGRATIONS.len() as i64;
const NEXT: Migration = Migration {
    version: TODAY + 1,
    sql: "ALTER TABLE calls ADD COLUMN note VARCHAR DEFAULT 'old'",
};

#[test]
fn an_older_file_is_brought_forward_with_its_data() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("today's version"));
    let history = [MIGRATIONS, &[NEXT]].concat();
    let database = Database::open_with(&file, &history).expect("migrates");
    let old: i64 = database
        .connection
        .query_row("SELECT count(*) FROM calls WHERE note = 'old'", [], |r| {
            r.get(0)
        })
        .expect("counts");
    assert_eq!(old, 4);
    assert_eq!(count(&database, "schema_version"), NEXT.version);
}

/// A file as monigo 0.1.0 wrote it: `main.process_order` was called 1000 times, for 1 ms each.
fn version_1(file: &Path) {
    let database = Database::open_with(file, &MIGRATIONS[..1]).expect("creates");
    let rows = format!(
        "INSERT INTO sessions VALUES (1, {START}, {START} + {SECOND}, '0.1.0', 'host', '6.18.0',
             'monigo attach', {SECOND}, '/srv/orders', NULL, 'go', NULL);
         INSERT INTO functions VALUES (1, 0, 'main.process_order', 'main.process_order',
             '/srv/orders', NULL, NULL, 4719156, 'ret', 3, 'single-step');
         INSERT INTO flushes VALUES (1, 1, {START}, {START} + {SECOND});
         INSERT INTO function_deltas VALUES (1, 0, 1, {START} + {SECOND}, 1001, 1000, 0, 0,
             1000000000, 1000000, 1000000);
         INSERT INTO histogram_deltas VALUES (1, 0, 1, {START} + {SECOND}, {}, 1000);",
        monigo_common::histogram::bucket_of(1_000_000)
    );
    database.connection.execute_batch(&rows).expect("inserts");
}

#[test]
fn a_file_of_version_1_is_read_as_it_was_meant() {
    let (_directory, file) = temporary();
    version_1(&file);
    let database = Database::open_read_only(&file).expect("migrates");
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let rows = source.functions(Window::default()).expect("functions");
    assert_eq!(
        (rows[0].calls, rows[0].timed, rows[0].calls_error),
        (1000, 1000, 0)
    );
    assert_eq!((rows[0].self_ns, rows[0].timed_share()), (None, None));
    assert_eq!((rows[0].probe.cost_ns, rows[0].probe.floor_ns), (0, 0));
    assert_eq!(rows[0].latency_ns.p99, 1_000_000);
    let overview = source.overview().expect("overview");
    assert_eq!((overview.runtime_version, overview.retention), (None, None));
    assert_eq!(
        source.since_start().expect("since the start")[0].row,
        rows[0]
    );
    let view: (i64, Option<i64>, i64, i64, Option<i64>) = database
        .connection
        .query_row(
            "SELECT total_ns, self_ns, timed, calls_error, floor_ns FROM v_functions",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)),
        )
        .expect("reads");
    assert_eq!(view, (1_000_000_000, None, 1000, 0, None));
    drop((source, database));
    // It can be recorded into, and the old session stays as it was.
    let mut database = Database::open(&file).expect("opens");
    assert_eq!(fixture::record(&mut database), 2);
    let unknown = "function_deltas WHERE self_ns IS NULL";
    assert_eq!(count(&database, unknown), 1);
    assert_eq!(count(&database, "functions WHERE cost_ns = 16000"), 2);
    let undocumented = count(
        &database,
        "duckdb_views() WHERE NOT internal AND comment IS NULL",
    );
    assert_eq!(undocumented, 0);
}

#[test]
fn a_failing_migration_changes_nothing() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("today's version"));
    let bad = Migration {
        version: NEXT.version,
        sql: "DROP VIEW v_calls; ALTER TABLE calls ADD COLUMN pid VARCHAR",
    };
    let error = Database::open_with(&file, &[MIGRATIONS, &[bad]].concat()).expect_err("fails");
    assert!(
        matches!(error, StoreError::Migration { version, .. } if version == NEXT.version),
        "{error}"
    );
    let database = Database::open(&file).expect("still today's version");
    assert_eq!(count(&database, "v_calls"), 4);
}

#[test]
fn a_newer_file_is_refused_with_both_versions() {
    let (_directory, file) = temporary();
    drop(Database::open_with(&file, &[MIGRATIONS, &[NEXT]].concat()).expect("the next version"));
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("newer");
        assert!(
            matches!(
                error,
                StoreError::NewerSchema {
                    found,
                    supported: TODAY,
                    ..
                } if found == NEXT.version
            ),
            "{error}"
        );
        let said = format!("schema version {}", NEXT.version);
        assert!(error.to_string().contains(&said), "{error}");
    }
}
