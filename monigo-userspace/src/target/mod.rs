//! What is profiled: which file to open, which path to show, which processes.

mod error;
mod libraries;
pub mod process;
mod programs;
mod resolve;
pub mod return_probes;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::{
    error::TargetError,
    libraries::{Libraries, Library, LibraryError},
    programs::{Choice, container_id, programs},
    resolve::{resolve, resolve_command},
};

/// Which processes' calls are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every process that runs the image, now or later.
    Everyone,
    /// One process, without the processes it forks.
    Process(u32),
    /// The processes in this list, and what they fork.
    Tree(Vec<u32>),
}

/// A resolved target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path to open and to give to the kernel; may go through `/proc/PID/`, so that it works
    /// across mount namespaces and for deleted files.
    pub open_path: PathBuf,
    /// Path to show.
    pub show_path: PathBuf,
    /// Whose calls count.
    pub scope: Scope,
    /// Processes that run it now.
    pub pids: Vec<u32>,
}

impl Target {
    /// Whether the processes run a file that its path no longer leads to: deleted, replaced by a
    /// newer build, or in another mount namespace.
    pub fn is_replaced(&self) -> bool {
        self.open_path.starts_with("/proc") && !self.show_path.starts_with("/proc")
    }
}
