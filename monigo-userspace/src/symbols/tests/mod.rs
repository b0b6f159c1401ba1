//! Images of real programs, checked against other tools, and of damaged ones.

mod damaged;
mod futures;
mod go;
mod native;
pub(crate) mod samples;
