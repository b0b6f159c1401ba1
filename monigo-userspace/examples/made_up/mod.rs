//! A made-up service and a recording of it that keeps moving, for the demos of the views.

mod answers;
mod counts;
mod over_time;
mod random;
mod recording;
mod service;
mod stacks;

pub use self::{
    recording::{Plan, Recording, SAMPLE_EVERY, Shape},
    service::MadeUp,
};
