//! What questions about the session, its functions and its calls are answered with.

mod functions;
mod latency;
mod over_time;
mod overview;
mod recorded;

pub use self::{
    functions::{FunctionRow, InstanceRow, ProbeRow, SinceStart, share_of_cpu},
    latency::{Bucket, Latency},
    over_time::{Heatmap, SeriesPoint},
    overview::{LossRow, Overview},
    recorded::{Call, FlameNode, StackRow, Weight},
};
