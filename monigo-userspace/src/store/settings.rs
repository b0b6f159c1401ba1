//! Settings of the store.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Size, Span};

/// Where measurements are kept, for how long, and how finely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSettings {
    /// `disk` or `memory`.
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// The database file, for `disk`.
    pub path: Option<PathBuf>,
    /// Measurements older than this are deleted.
    pub retention: Span,
    /// Single calls and samples older than this are deleted; `None` keeps them as long as the rest.
    pub detail_retention: Option<Span>,
    /// The database takes no more than this; the oldest measurements go first. At least 64 MiB. `None` is
    /// no limit on disk, and 512 MiB in memory.
    pub max_size: Option<Size>,
    /// Time between writes, 100 ms to 10 min.
    pub sync_frequency: Span,
    /// Intervals older than this are merged to coarser ones.
    pub downsample_after: Span,
    /// How long those are.
    pub downsample_to: Span,
}

/// What holds the measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// A file.
    Disk,
    /// Memory; gone when monigo ends.
    #[default]
    Memory,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StorageProblem {
    /// Name of the setting.
    pub setting: &'static str,
    /// One sentence with what to write.
    pub reason: String,
}

const MINUTE: u32 = 60;
const DAY: u32 = 24 * 60 * MINUTE;
/// Below this, the tables themselves and the write-ahead log take too much of it.
const LEAST_SIZE: Size = Size::from_mib(64);
/// Of a database in memory.
const MEMORY_SIZE: Size = Size::from_mib(512);

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            kind: StorageKind::default(),
            path: None,
            retention: Span::from_secs(7 * DAY),
            detail_retention: None,
            max_size: None,
            sync_frequency: Span::from_secs(1),
            downsample_after: Span::from_secs(DAY),
            downsample_to: Span::from_secs(MINUTE),
        }
    }
}

impl StorageSettings {
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), StorageProblem> {
        let problem = |setting, reason: &str| {
            let reason = reason.to_owned();
            Err(StorageProblem { setting, reason })
        };
        if self.kind == StorageKind::Disk && self.path.is_none() {
            return problem("path", "storage on disk needs the path of a database file");
        }
        if self.max_size.is_some_and(|size| size < LEAST_SIZE) {
            return problem("max_size", "the database needs at least 64MiB");
        }
        let sync = self.sync_frequency.duration();
        if sync.as_millis() < 100 || sync.as_secs() > u64::from(10 * MINUTE) {
            return problem("sync_frequency", "it must be between 100ms and 10m");
        }
        if self.detail_retention.is_some_and(|d| d > self.retention) {
            return problem(
                "detail_retention",
                "calls and samples cannot be kept longer than retention keeps the rest",
            );
        }
        if self.downsample_to > self.downsample_after {
            return problem(
                "downsample_to",
                "the coarser intervals cannot be longer than downsample_after",
            );
        }
        Ok(())
    }

    /// What of these a database must know.
    pub(super) fn keep(&self, in_memory: bool) -> Keep {
        let limit = self.max_size.or(in_memory.then_some(MEMORY_SIZE));
        Keep {
            age_ns: self.retention.as_ns(),
            details_ns: self.detail_retention.unwrap_or(self.retention).as_ns(),
            fine_ns: self.downsample_after.as_ns(),
            step_ns: self.downsample_to.as_ns(),
            limit_bytes: limit.map(Size::bytes),
        }
    }
}

/// What is kept, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    /// Age at which measurements are deleted.
    pub age_ns: i64,
    /// Age at which single calls and samples are.
    pub details_ns: i64,
    /// Age at which intervals are merged.
    pub fine_ns: i64,
    /// Length of merged intervals.
    pub step_ns: i64,
    /// What the database may take.
    pub limit_bytes: Option<u64>,
}

impl Keep {
    /// Time between two looks for what is too old.
    pub fn look_every_ns(&self) -> i64 {
        const LONGEST_NS: i64 = 3_600_000_000_000;
        let shortest = self.age_ns.min(self.details_ns).min(self.fine_ns);
        (shortest / 10).clamp(1, LONGEST_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut StorageSettings)) -> &'static str {
        let mut settings = StorageSettings::default();
        change(&mut settings);
        settings.check().expect_err("refused").setting
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(StorageSettings::default().check(), Ok(()));
        assert_eq!(refused(|s| s.kind = StorageKind::Disk), "path");
        assert_eq!(
            refused(|s| s.max_size = Some(Size::from_mib(63))),
            "max_size"
        );
        let long = Span::from_secs(601);
        assert_eq!(refused(|s| s.sync_frequency = long), "sync_frequency");
        let week = Span::from_secs(8 * DAY);
        assert_eq!(
            refused(|s| s.detail_retention = Some(week)),
            "detail_retention"
        );
        assert_eq!(refused(|s| s.downsample_to = week), "downsample_to");
    }

    #[test]
    fn memory_is_bounded_by_default() {
        let settings = StorageSettings::default();
        assert_eq!(settings.keep(false).limit_bytes, None);
        assert_eq!(settings.keep(true).limit_bytes, Some(512 << 20));
    }
}
