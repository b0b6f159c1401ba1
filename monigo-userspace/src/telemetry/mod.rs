//! What is sent elsewhere: a text for Prometheus to fetch, and OTLP to a collector.
//!
//! [`families`] turns a recording and its service into metrics once; both exports write them down.

mod breaker;
mod families;
pub mod otlp;
pub mod prometheus;
mod queue;
mod status;

pub use self::{
    families::Family,
    otlp::{OtlpError, OtlpExporter, OtlpProtocol, OtlpSettings},
    status::{StatusBoard, StatusHandle},
};
