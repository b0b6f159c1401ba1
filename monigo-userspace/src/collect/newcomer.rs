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
        Self {
            maps: ProcessMaps::of_living(pid),
            row: ProcessRow {
                pid,
                name: printable(process::name(pid).unwrap_or_default()),
                seen_ns: clock::unix_ns(),
            },
        }
    }
}
