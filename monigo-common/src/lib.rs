//! Types that cross the boundary between monigo's kernel programs and its user side.
//!
//! Everything here is plain integers with explicit padding, so that both sides, built by two
//! compilers, agree on every byte. One module per concern.
#![no_std]
#![allow(
    clippy::inline_always,
    reason = "the kernel side needs it: a call of its own costs verifier states and stack"
)]

pub mod config;
pub mod cookie;
pub mod copy;
pub mod counters;
pub mod event;
pub mod histogram;
pub mod open;

/// Marks a type as safe to read from raw map bytes on the user side.
macro_rules! pod {
    ($($ty:ty),+ $(,)?) => {$(
        // SAFETY: `repr(C)`, integers and integer arrays only, no implicit padding
        // (checked by the size assertion beside each type); every bit pattern is valid.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $ty {}
    )+};
}
pub(crate) use pod;
