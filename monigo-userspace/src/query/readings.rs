//! Figures of the service and the host over time, and what the database takes.

use std::{collections::BTreeMap, fs, path::Path};

use duckdb::{Connection, ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::{QueryError, Window};
use crate::store::{Reader, log_path};

/// Which figures, when, and how finely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadingsQuestion {
    /// Series, for example `service_cpu_load`; empty for all. Unknown names are left out.
    pub names: Vec<String>,
    /// When they were read.
    pub window: Window,
    /// Most steps to answer with; at least 1.
    pub points: u32,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadingsPoint {
    /// Start of the step, Unix time in ns.
    pub at_ns: i64,
    /// Length of the step, ns.
    pub step_ns: i64,
    /// Mean of each series in it, in the unit of the series; those without a reading are left out.
    pub values: BTreeMap<String, f64>,
}

/// What a database takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The file and its write-ahead log, bytes; `None` for a database in memory.
    pub on_disk_bytes: Option<u64>,
    /// Memory that the database holds in the process that has it open, bytes.
    pub memory_bytes: u64,
}

impl Storage {
    pub(super) fn of(reader: &Reader) -> Result<Self, QueryError> {
        let memory_bytes = reader.with(|connection| {
            connection.query_row(
                "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()",
                [],
                |row| row.get(0),
            )
        })?;
        Ok(Self {
            on_disk_bytes: reader.path().map(bytes_on_disk),
            memory_bytes,
        })
    }
}

/// Size of a database and its write-ahead log, bytes; what is missing counts nothing.
fn bytes_on_disk(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    size(path) + size(&log_path(path))
}

/// Steps are aligned to multiples of their length: as the window slides, finished steps keep their
/// content.
pub(super) fn read(
    connection: &Connection,
    session: i64,
    question: &ReadingsQuestion,
) -> Result<Vec<ReadingsPoint>, QueryError> {
    let window = question.window;
    let after = window.from_ns.unwrap_or(i64::MIN);
    let before = window.to_ns.unwrap_or(i64::MAX);
    let marks = vec!["?"; question.names.len()].join(", ");
    let named = if marks.is_empty() {
        String::new()
    } else {
        format!(" AND name IN ({marks})")
    };
    let chosen = format!("FROM readings WHERE session_id = ? AND at_ns >= ? AND at_ns < ?{named}");
    let mut values: Vec<&dyn ToSql> = vec![&session, &after, &before];
    values.extend(question.names.iter().map(|name| name as &dyn ToSql));
    let range: (Option<i64>, Option<i64>) = connection.query_row(
        &format!("SELECT min(at_ns), max(at_ns) {chosen}"),
        params_from_iter(&values),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (Some(first_ns), Some(last_ns)) = range else {
        return Ok(Vec::new());
    };
    let (origin_ns, step_ns) = steps(first_ns, last_ns, question.points);
    values.splice(0..0, [&origin_ns as &dyn ToSql, &step_ns]);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT (at_ns - ?) // ? AS step, name, sum(value * looks) / sum(looks) {chosen}
         GROUP BY ALL ORDER BY step"
    ))?;
    let mut rows = statement.query(params_from_iter(&values))?;
    let mut points: Vec<ReadingsPoint> = Vec::new();
    while let Some(row) = rows.next()? {
        let at_ns = origin_ns + row.get::<_, i64>(0)? * step_ns;
        if points.last().is_none_or(|point| point.at_ns != at_ns) {
            points.push(ReadingsPoint {
                at_ns,
                step_ns,
                values: BTreeMap::new(),
            });
        }
        if let Some(point) = points.last_mut() {
            point.values.insert(row.get(1)?, row.get(2)?);
        }
    }
    Ok(points)
}

/// Where steps are counted from, and how long they are, so that at most `points` of them hold all
/// from `first_ns` to `last_ns`.
fn steps(first_ns: i64, last_ns: i64, points: u32) -> (i64, i64) {
    let length = last_ns.saturating_sub(first_ns).saturating_add(1);
    if points <= 1 {
        return (first_ns, length);
    }
    // Alignment can split one step in two, at both ends.
    let step = (length as u64).div_ceil(u64::from(points) - 1);
    (0, i64::try_from(step).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_steps_than_asked_for(
            first in 0_i64..1 << 60, length in 0_i64..1 << 50, points in 0_u32..2000,
        ) {
            let last = first + length;
            let (origin, step) = steps(first, last, points);
            let count = (last - origin) / step - (first - origin) / step + 1;
            prop_assert!(count <= i64::from(points.max(1)), "{count}");
        }
    }
}
