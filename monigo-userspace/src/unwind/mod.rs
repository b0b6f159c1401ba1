//! From registers and a copied piece of a stack to return addresses, for code that keeps no frame
//! pointers.
//!
//! `.eh_frame` and its kin say for each instruction where the caller's registers are; `framehop`
//! reads and remembers that. What is done here is to find the tables of everything that a process
//! maps while it lives, to get past places that the tables do not describe (the probes' own), and
//! to say why a stack ends early.

mod choice;
mod memo;
mod process;
mod row;
mod tables;
mod tally;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
mod walk;

pub use self::{
    choice::{Keeps, Ways, frame_pointers, keeps_frame_pointers},
    tally::Tally,
    walk::{End, Unwinder, Walk},
};
