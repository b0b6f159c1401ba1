//! Questions in SQL.

use super::*;

#[test]
fn sql_types_become_json() {
    let (_database, source) = recorded();
    let table = source
        .sql(
            "SELECT 1::TINYINT AS i, 2::UBIGINT AS u, sum(3) AS h, 1.5 AS d, 'x' AS s, true AS b, NULL AS n,
                    make_timestamp_ns(1764000000123456789) AS t, [1, 2] AS l, {'a': 1} AS m,
                    INTERVAL 1 DAY AS v, 170141183460469231731687303715884105727::HUGEINT AS big,
                    'nan'::DOUBLE AS nan, 1 AS i",
            5,
        )
        .expect("answers");
    assert_eq!(table.columns[12..], ["nan", "i_1"]);
    let row = serde_json::to_value(&table.rows[0]).expect("serializes");
    assert_eq!(
        row,
        serde_json::json!([
            1,
            2,
            3,
            1.5,
            "x",
            true,
            null,
            "2025-11-24 16:00:00.123456789",
            "[1, 2]",
            "{'a': 1}",
            "1 day",
            "170141183460469231731687303715884105727",
            "NaN",
            1
        ])
    );
}

#[test]
fn sql_shows_the_schema_and_keeps_the_limit_and_order() {
    let (_database, source) = recorded();
    let tables = source.sql("SHOW TABLES;", 100).expect("answers");
    assert!(
        tables.rows.iter().any(|row| row[0] == "v_functions"),
        "{tables:?}"
    );
    assert_eq!(
        source
            .sql("DESCRIBE calls", 100)
            .expect("answers")
            .rows
            .len(),
        12
    );
    assert!(
        !source
            .sql("EXPLAIN FROM calls", 9)
            .expect("answers")
            .rows
            .is_empty()
    );
    assert!(
        !source
            .sql("PRAGMA table_info('calls')", 9)
            .expect("answers")
            .rows
            .is_empty()
    );
    let table = source
        .sql("FROM range(1000) ORDER BY 1 DESC -- newest", 3)
        .expect("answers");
    let numbers: Vec<_> = table.rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(numbers, [999, 998, 997]);
}

#[test]
fn sql_cannot_change_or_reach_anything() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("run.duckdb");
    let mut database = Database::open(&file).expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    for query in [
        "DELETE FROM calls",
        "EXPLAIN ANALYZE DELETE FROM calls",
        "WITH gone AS (DELETE FROM calls RETURNING 1) FROM gone",
        "SELECT 1; DELETE FROM calls",
        "SELECT 1) ; COMMIT; DELETE FROM calls; SELECT (1",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM query('DELETE FROM calls')",
        "SELECT content FROM read_blob('https://example.com')",
    ] {
        let error = source.sql(query, 10).expect_err(query);
        assert!(matches!(error, QueryError::Sql(_)), "{query}: {error}");
    }
    let rows = source
        .sql("SELECT count(*) FROM calls", 1)
        .expect("still there");
    assert_eq!(rows.rows[0][0], 4);
    let error = source
        .sql("SELECT nothing FROM calls", 1)
        .expect_err("wrong name");
    assert!(
        error.to_string().contains("\"nothing\" not found"),
        "{error}"
    );
    assert!(error.to_string().contains("Binder Error"), "{error}");
}

// Through the socket
