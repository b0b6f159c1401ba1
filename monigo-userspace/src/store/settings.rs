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
}
