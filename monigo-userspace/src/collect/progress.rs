//! When a recording ends, and how far it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use super::{Sampling, collector::Request};
use crate::{export::format::percent, service::Reading, store::StorageSettings};

/// What a collector is told.
#[derive(Debug)]
pub enum Command {
    /// Flush and end.
    Stop,
    /// Trace further functions.
    Trace(Box<Request>),
    /// Tell the user, now and in the recording.
    Notice(String),
    /// Store what was measured of the service and the host.
    Readings(Vec<Reading>),
    /// Go on with other settings.
    Tune(Box<Tuning>),
    /// These processes belong to the target, too. Only for targets that are lists of processes.
    Follow(Vec<u32>),
}

/// Settings that can change while a recording goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Which calls are recorded in full.
    pub sampling: Sampling,
    /// Time between writes.
    pub flush: Duration,
    /// Limit of the cost as a share of one CPU; `None` for none.
    pub share: Option<f64>,
    /// What is kept, and for how long.
    pub storage: StorageSettings,
}

/// Why collecting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Asked to.
    Requested,
    /// The time is over.
    Duration,
    /// The calls are counted.
    Calls,
    /// The traced process ended.
    TargetExited,
}

/// When to end without being asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After this long.
    pub duration: Option<Duration>,
    /// After this many calls.
    pub max_calls: Option<u64>,
    /// When this process ends.
    pub until_exit: Option<u32>,
}

/// What the probes take from the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Of one CPU: 0.013 for 1.3 %.
    pub share_of_cpu: f64,
    /// The limit per traced process, if there is one.
    pub budget: Option<f64>,
    /// What has been given up to stay within it; empty for nothing.
    pub step: &'static str,
}

/// What live views show beside the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Flushes so far.
    pub flushes: u64,
    /// Processes seen, alive or not.
    pub pids: BTreeSet<u32>,
    /// Processes alive at the last flush.
    pub alive: usize,
    /// Which those are.
    pub live: BTreeSet<u32>,
    /// 1 call in this many is recorded.
    pub sample_every: u32,
    /// Calls that began, per second, in the last interval.
    pub calls_per_second: f64,
    /// Why it ended, once it did.
    pub ended: Option<End>,
    /// What the probes cost; `None` before the first look.
    pub cost: Option<Cost>,
    /// The last store failure, while it lasts.
    pub store_error: Option<String>,
    /// What was not recorded, by cause, since the beginning.
    pub losses: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = percent(self.share_of_cpu);
        write!(f, "probes cost about {share} of one CPU")?;
        if !self.step.is_empty() {
            write!(f, ", {}", self.step)?;
        }
        if let Some(budget) = self.budget {
            write!(f, " (limit {})", percent(budget))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_in_words() {
        let mut cost = Cost {
            share_of_cpu: 0.013,
            budget: None,
            step: "",
        };
        assert_eq!(cost.to_string(), "probes cost about 1.3% of one CPU");
        cost.budget = Some(0.05);
        cost.step = "latency in windows";
        assert_eq!(
            cost.to_string(),
            "probes cost about 1.3% of one CPU, latency in windows (limit 5.0%)"
        );
    }
}
