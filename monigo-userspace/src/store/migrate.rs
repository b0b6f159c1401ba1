//! Versions of the schema, and how a file gets from one to the next.
//!
//! # Schema
//! `migrations/` has the schema as it came about, with comments on tables and columns; they are
//! in every file too (`SELECT table_name, comment FROM duckdb_tables()`).
//!
//! | table | one row per |
//! |---|---|
//! | `sessions` | run of monigo, with its target |
//! | `functions` | traced function of a session |
//! | `instances` | body of a function that has several: generic instance, clone, static of the same name |
//! | `flushes` | flush interval |
//! | `function_deltas` | function and flush interval in which its counters changed |
//! | `histogram_deltas` | function, flush interval and non-empty latency bucket |
//! | `blocks`, `histogram_blocks` | 8 flush intervals, as they are or merged, and their `histogram_deltas` summed up |
//! | `calls` | call recorded in full |
//! | `samples` | look at what ran or waited inside a traced function |
//! | `sample_callers` | traced call around the one that a sample belongs to |
//! | `stacks`, `stack_frames`, `frames` | distinct stack, its frames, distinct frame of a session |
//! | `processes` | process seen |
//! | `session_warnings` | thing that monigo said it could not see when the session began |
//! | `notices` | change in how functions are watched, as a sentence |
//! | `losses` | flush interval and cause of something not recorded |
//! | `deleted_deltas`, `deleted_histograms`, `deleted_losses` | what retention deleted, summed up: function, function and bucket, cause |
//! | `readings` | figure of the service or the host at one instant |
//! | `schema_version` | migration applied |
//!
//! Times are `BIGINT` Unix time in ns: exact, and cheap to compare and subtract. The views
//! `v_sessions`, `v_functions`, `v_latency`, `v_rates`, `v_calls`, `v_samples`,
//! `v_stacks`, `v_notices` and `v_readings` show names and
//! `TIMESTAMP_NS` in UTC, and `latency_percentile(99.5)` is a table of any percentile.

use duckdb::Connection;

use super::StoreError;

/// A step from one schema version to the next.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Version that the file has afterwards; counts up from 1.
    pub version: i64,
    /// Statements to run, all in one transaction.
    pub sql: &'static str,
}

/// Every migration, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("migrations/0001_initial.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("migrations/0002_prices_and_estimates.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("migrations/0003_where_time_goes.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("migrations/0004_readings.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("migrations/0005_labels.sql"),
    },
    Migration {
        version: 6,
        sql: include_str!("migrations/0006_since_the_start.sql"),
    },
    Migration {
        version: 7,
        sql: include_str!("migrations/0007_true_lengths.sql"),
    },
    Migration {
        version: 8,
        sql: include_str!("migrations/0008_finer_blocks.sql"),
    },
    Migration {
        version: 9,
        sql: include_str!("migrations/0009_instances.sql"),
    },
];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No tables at all.
    Empty,
    /// Tables, but none of monigo's.
    Foreign,
    /// A monigo file of this schema version.
    Version(i64),
}

/// Looks at which schema a database has.
pub fn inspect(connection: &Connection) -> Result<Found, duckdb::Error> {
    let (tables, versioned): (i64, i64) = connection.query_row(
        "SELECT count(*), count(*) FILTER (table_name = 'schema_version')
         FROM duckdb_tables() WHERE NOT internal",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    match (tables, versioned) {
        (0, _) => Ok(Found::Empty),
        (_, 0) => Ok(Found::Foreign),
        _ => connection
            .query_row(
                "SELECT coalesce(max(version), 0) FROM schema_version",
                [],
                |row| row.get(0),
            )
            .map(Found::Version),
    }
}

/// Applies the migrations that the database lacks, each in a transaction of its own.
///
/// The caller has checked that the database is not newer than the last of `migrations`.
pub fn migrate(
    connection: &Connection,
    from_version: i64,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    for migration in migrations.iter().filter(|m| m.version > from_version) {
        let failed = |error: duckdb::Error| StoreError::Migration {
            version: migration.version,
            message: error.to_string(),
        };
        connection.execute_batch("BEGIN").map_err(failed)?;
        let applied = apply(connection, *migration)
            .and_then(|()| connection.execute_batch("COMMIT"))
            .map_err(failed);
        if applied.is_err() {
            // Nothing left to do if this fails too: the transaction is gone either way.
            let _ = connection.execute_batch("ROLLBACK");
            return applied;
        }
    }
    Ok(())
}

fn apply(connection: &Connection, migration: Migration) -> Result<(), duckdb::Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
             version INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL, monigo_version VARCHAR NOT NULL);
         COMMENT ON TABLE schema_version IS 'Migrations applied to this file; the highest is its version'",
    )?;
    connection.execute_batch(migration.sql)?;
    connection.execute(
        "INSERT INTO schema_version VALUES (?, current_timestamp AT TIME ZONE 'UTC', ?)",
        duckdb::params![migration.version, env!("CARGO_PKG_VERSION")],
    )?;
    Ok(())
}
