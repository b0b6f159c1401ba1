//! Keeping a database within its size.
//!
//! `DuckDB` returns blocks that became free to its own list, and uses them before the file grows; it
//! cuts free blocks off the end of the file at a checkpoint. So the file stays within the limit if
//! what is in use does, with a third to spare for the log and for checkpoints, which write
//! changed blocks to new places before the old ones are free.

use std::fs;

use super::{
    Batch, Database, StoreError,
    prune::{TIMED, UNTIMED},
};

/// Deletions tried in a row to make room for what is written at a time.
const MOST_ROUNDS: usize = 16;

impl Database {
    /// Deletes the oldest measurements until `batches` fit into the limit.
    pub(super) fn make_room(&mut self, session: i64, batches: &[&Batch]) -> Result<(), StoreError> {
        let Some(limit) = self.keep.and_then(|keep| keep.limit_bytes) else {
            return Ok(());
        };
        let comes: u64 = batches.iter().copied().map(estimate).sum();
        let most = limit / 3 * 2;
        if self.path.is_some() && self.file_bytes() + self.log_bytes() + comes <= most {
            return Ok(());
        }
        for _ in 0..MOST_ROUNDS {
            if self.used_bytes()? + comes <= most {
                return Ok(());
            }
            // What the log holds may be deleted already.
            self.checkpoint();
            if self.used_bytes()? + comes <= most {
                return Ok(());
            }
            if !self.delete_oldest()? {
                break;
            }
            self.sweep_before(session, batches)?;
        }
        if self.used_bytes()? + comes <= limit / 8 * 7 {
            return Ok(());
        }
        Err(StoreError::LimitReached { limit_bytes: limit })
    }

    /// Brings a file that is over the limit below it. What is left in it lies mostly at its end, where it keeps
    /// the file from being cut, so it is written again from the front.
    pub(super) fn shrink(&mut self) -> Result<(), StoreError> {
        let (Some(path), Some(limit)) = (
            self.path.clone(),
            self.keep.and_then(|keep| keep.limit_bytes),
        ) else {
            return Ok(());
        };
        self.checkpoint();
        let before = self.file_bytes() + self.log_bytes();
        if before <= limit {
            return Ok(());
        }
        for _ in 0..MOST_ROUNDS {
            if self.used_bytes()? <= limit / 3 * 2 || !self.delete_oldest()? {
                break;
            }
        }
        for table in TIMED.iter().chain(&UNTIMED).chain(&["schema_version"]) {
            self.transaction("shrinking the database", |connection| {
                connection.execute_batch(&format!(
                    "CREATE TABLE moved AS FROM {table}; DELETE FROM {table};
                     INSERT INTO {table} FROM moved; DROP TABLE moved"
                ))
            })?;
            self.checkpoint();
        }
        let after = self.file_bytes() + self.log_bytes();
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if after <= limit {
            tracing::info!(
                "{} took {} MiB, more than its limit of {}; the oldest measurements were deleted, and it takes {} now",
                path.display(),
                mib(before),
                mib(limit),
                mib(after)
            );
        } else {
            tracing::warn!(
                "{} takes {} MiB, more than its limit of {}; it shrinks as what lies at its end is deleted, at the latest after the retention",
                path.display(),
                mib(after),
                mib(limit)
            );
        }
        Ok(())
    }

    fn file_bytes(&self) -> u64 {
        let size = |path| fs::metadata(path).map_or(0, |found| found.len());
        self.path.as_deref().map_or(0, size)
    }

    /// What is in use: of the file without its free blocks, and the log; or memory.
    pub(super) fn used_bytes(&self) -> Result<u64, StoreError> {
        let sql = if self.path.is_some() {
            "SELECT (used_blocks * block_size)::BIGINT FROM pragma_database_size()"
        } else {
            "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()"
        };
        let used: Result<u64, _> = self.connection.query_row(sql, [], |row| row.get(0));
        let used = used.map_err(|error| self.error(&error, "measuring the database"))?;
        Ok(used + self.log_bytes())
    }

    /// Deletes the oldest quarter of single calls and samples or, where those are few, of
    /// everything. Whether there was anything to delete; the newest interval always stays.
    fn delete_oldest(&mut self) -> Result<bool, StoreError> {
        let failed = |error| self.error(&error, "looking for the oldest measurements");
        // Roughly by what a row takes.
        let (details, counters): (i64, i64) = self
            .connection
            .query_row(
                "SELECT (SELECT count(*) FROM calls) * 4 + (SELECT count(*) FROM samples) * 4
                        + (SELECT count(*) FROM sample_callers) * 2,
                        (SELECT count(*) FROM histogram_deltas) + (SELECT count(*) FROM readings) * 2
                        + (SELECT count(*) FROM function_deltas) * 4",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(failed)?;
        let only_details = details > counters / 4;
        let tables = if only_details {
            "(SELECT at_ns FROM calls UNION ALL SELECT at_ns FROM samples)"
        } else {
            "flushes"
        };
        let (oldest, quarter, newest): (Option<i64>, Option<i64>, Option<i64>) = self
            .connection
            .query_row(
                &format!(
                    "SELECT min(at_ns), approx_quantile(at_ns, 0.25)::BIGINT, max(at_ns) FROM {tables}"
                ),
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map_err(failed)?;
        let (Some(oldest), Some(quarter), Some(newest)) = (oldest, quarter, newest) else {
            return Ok(false);
        };
        let cutoff = quarter.max(oldest + 1).min(newest);
        tracing::info!("the database reaches its limit: deleting the oldest measurements");
        if only_details {
            Ok(self.prune_details(cutoff)? > 0)
        } else {
            Ok(self.prune(cutoff)? != super::Pruned::default())
        }
    }
}

/// What a batch takes in the log, about.
fn estimate(batch: &Batch) -> u64 {
    let buckets: usize = batch
        .functions
        .iter()
        .map(|delta| delta.buckets.len())
        .sum();
    let links: usize = batch.stacks.iter().map(|stack| stack.frames.len()).sum();
    let bytes = batch.functions.len() * 110
        + buckets * 40
        + batch.calls.len() * 80
        + batch.samples.len() * 150
        + batch.readings.len() * 70
        + batch.frames.len() * 200
        + links * 30;
    bytes as u64
}
