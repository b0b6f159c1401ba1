//! Goroutines of Go processes, and threads of others, read from the outside.
//!
//! Nothing is stopped or attached: `memory` copies what the process has in memory, `snapshot`
//! makes goroutines of it and checks that they did not change meanwhile, [`stack`] walks the
//! copied stacks, [`group`] puts those of the same state and stack together, and [`history`] sees
//! groups grow. [`threads`] does the same from `/proc` where there is no Go runtime.

mod fields;
mod group;
mod history;
mod memory;
mod reader;
mod runtime;
mod snapshot;
mod stack;
#[cfg(test)]
mod tests;
mod thread_stack;
mod threads;

pub use self::{
    fields::GoroutineState,
    group::{Grouped, Named, group},
    history::History,
    memory::Memory,
    reader::GoReader,
    snapshot::{Goroutine, Snapshot, SnapshotError, Source},
    threads::ThreadReader,
};

/// Goroutines or threads that are read at most in one process; more are only counted.
pub const MOST_ROUTINES: usize = 100_000;
/// Groups that are listed.
pub const MOST_GROUPS: usize = 1_000;
/// Frames of a stack.
pub const MOST_FRAMES: usize = 128;
