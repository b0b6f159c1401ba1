//! From kernel maps to the store: drains records, takes differences of counters, names stacks,
//! and appends a batch at each flush.

mod backlog;
mod budget;
mod clock;
mod collector;
mod copies;
mod deltas;
mod draining;
mod goroutines;
mod long_calls;
mod newcomer;
mod pacing;
mod pending;
mod progress;
mod sampling;
mod stacks;
mod standing;
mod wait;

pub use self::{
    budget::{Budget, Mode},
    clock::{before, unix_ns},
    collector::{AddError, Addition, CollectError, Collector, Request},
    progress::{Command, Cost, End, Limits, Progress, Tuning},
    sampling::Sampling,
    stacks::{Resolve, Site, StackTable, Traced},
};
