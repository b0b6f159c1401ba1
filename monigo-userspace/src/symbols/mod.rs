//! What is in an executable image: its functions, under which names, and where.
//!
//! [`Image`] is opened once and then only read. Addresses are ELF virtual addresses ("vaddr")
//! unless a name says file offset; the kernel's uprobes want file offsets.
//!
//! [`pattern`] finds functions by what a user types, [`symbolize`] turns instruction addresses of
//! processes into frames, with [`maps`] between the two address spaces.

mod bytes;
pub mod cache;
pub mod debug;
pub mod demangle;
pub mod dwarf;
mod elf;
mod error;
mod files;
mod function;
pub mod futures;
pub mod go;
mod image;
pub mod lines;
pub mod loader;
pub mod maps;
pub mod pattern;
pub mod perf_map;
pub mod symbolize;
#[cfg(test)]
pub(crate) mod tests;
mod vdso;

use serde::{Deserialize, Serialize};

pub use self::{
    error::ImageError,
    function::{Function, FunctionKind},
    go::GoInfo,
    image::{Image, ImageId, ImageKind, Machine, Segment},
};

/// Source language family of an image, which decides how calls are keyed and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Language {
    /// Built by the Go tool chain.
    #[serde(rename = "go")]
    Go,
    /// Rust.
    #[serde(rename = "rust")]
    Rust,
    /// C, and anything that looks like it.
    #[serde(rename = "c")]
    C,
    /// C++.
    #[serde(rename = "c++")]
    Cpp,
}

impl Language {
    /// Its name in the database, in JSON and in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "c++",
        }
    }
}
