//! Resources of the traced processes and of the host.
//!
//! [`look`] says what is read, [`proc`] reads it from `/proc` and the cgroup hierarchies,
//! [`differ`] makes rates of the differences, and [`Monitor`] remembers the result for a while, so
//! that any number of readers costs one look. [`SERIES`] names what is stored and exported.

mod bounds;
mod cache;
mod cgroup;
mod differ;
mod look;
mod proc;
mod series;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use self::differ::Differ;
pub(crate) use self::words::rfc3339;
pub use self::{
    cache::Cache,
    look::{HostLook, Limits, Look, NetworkLook, ProcessLook, Traffic},
    proc::ProcLook,
    series::{SERIES, Series, Topic, is_between_looks, readings, series},
};
use crate::service::Metrics;

/// How long what was read serves everybody.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// A look that takes long is repeated so seldom that looking takes at most 1 part in this of the
/// time.
const LEAST_REST: u32 = 100;

/// What was read at one instant, without health and without what only a runtime knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Unix time in ns.
    pub at_ns: i64,
    /// Unix time at which the oldest process that lives started, ns.
    pub started_ns: Option<i64>,
    /// Processes that live, oldest first.
    pub pids: Vec<u32>,
    /// The figures.
    pub metrics: Metrics,
}

/// Looks at processes and host, at most once per time to live, however many ask.
pub struct Monitor {
    cache: Cache<Figures>,
    worker: Mutex<Worker>,
}

struct Worker {
    look: Box<dyn Look>,
    pids: Box<dyn Fn() -> BTreeSet<u32> + Send>,
    differ: Differ,
}

impl Monitor {
    /// Watches the processes that `pids` names at each look. The first look is taken now: without an
    /// earlier one, there are no rates.
    pub fn new(mut look: Box<dyn Look>, pids: Box<dyn Fn() -> BTreeSet<u32> + Send>) -> Self {
        let mut differ = Differ::default();
        differ.look(look.as_mut(), &pids());
        Self {
            cache: Cache::new(TIME_TO_LIVE, LEAST_REST),
            worker: Mutex::new(Worker { look, pids, differ }),
        }
    }

    /// What was read within the time to live; else it is read now, by one of those who ask.
    pub fn figures(&self) -> Arc<Figures> {
        self.figures_within(TIME_TO_LIVE)
    }

    /// The same, not older than `age` unless looking takes long.
    pub fn figures_within(&self, age: Duration) -> Arc<Figures> {
        self.cache.get_within(age, || {
            let mut worker = crate::sync::lock(&self.worker);
            let worker = &mut *worker;
            worker.differ.look(worker.look.as_mut(), &(worker.pids)())
        })
    }
}
