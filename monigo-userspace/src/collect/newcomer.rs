//! A process as it is when its first call is followed.

use super::clock;
use crate::{
    store::ProcessRow,
    symbols::{demangle::printable, maps::ProcessMaps},
    target::process,
};

/// What has to be read of a process while it lives.
#[derive(Debug)]
pub struct Newcomer {
    /// What is stored.
    pub row: ProcessRow,
    /// What it maps; `None` if it has ended.
    pub maps: Option<ProcessMaps>,
}

impl Newcomer {
    /// Reads it.
    pub fn look(pid: u32) -> Self {
        // A process that has ended and was not collected yet has empty maps.
        let maps = ProcessMaps::read(pid).ok();
        Self {
            maps: maps.filter(|maps| maps.code().next().is_some()),
            row: ProcessRow {
                pid,
                name: printable(process::name(pid).unwrap_or_default()),
                seen_ns: clock::unix_ns(),
            },
        }
    }
}
