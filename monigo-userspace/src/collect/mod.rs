//! From kernel maps to the store: drains records, takes differences of counters, names stacks,
//! and appends a batch at each flush.

mod clock;
mod collector;
mod deltas;
mod goroutines;
mod progress;
mod sampling;
mod stacks;

pub use self::{
    clock::unix_ns,
    collector::{CollectError, Collector},
    progress::{Command, End, Limits, Progress},
    sampling::Sampling,
    stacks::{Resolve, Site, StackTable, Traced},
};
