//! The kernel side as seen from user space: loading the programs, attaching them to sites,
//! settings, counters, and the records they send.
//!
//! Everything the kernel holds for monigo hangs on file descriptors of this process, so it is
//! gone when the process is, however that ends.

mod batch;
mod calibration;
mod changes;
mod copy;
mod decode;
mod error;
mod figures;
mod groundwork;
mod kernel;
mod layout;
mod links;
mod multi;
mod owners;
mod parking;
mod planned;
mod prices;
mod programs;
mod records;
mod suspended;
mod ticks;
mod tracepoints;
mod watching;
mod windows;

pub use self::{
    changes::settle,
    copy::StackCopy,
    decode::{CallStack, Caller, Halt, Item, Record, RecordError, Sample, WakerSeen, decode},
    error::ProbeError,
    groundwork::Groundwork,
    kernel::{Expected, Kernel, Sizes},
    parking::{Parking, Turns},
    planned::PlannedFunction,
    prices::{Calibration, Price},
    programs::Features,
    records::{Caller as RecordsCaller, Records},
    suspended::{Execution, Waiting},
    watching::Watch,
    windows::Opened,
};
