//! What the fuzz targets share: the modules under test, and images made in memory.

#![allow(
    dead_code,
    unused_imports,
    reason = "parts of the modules are for the rest of monigo"
)]

#[path = "../../../monigo-userspace/src/plan/mod.rs"]
pub mod plan;
#[path = "../../../monigo-userspace/src/symbols/mod.rs"]
pub mod symbols;
#[path = "../../../monigo-userspace/src/sync.rs"]
mod sync;

/// What [`symbols`] needs of the database: the type of its results.
pub mod store {
    use serde::{Deserialize, Serialize};

    /// See `store::Frame` of monigo.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct Frame {
        pub function: String,
        pub image: String,
        pub address: u64,
        pub file: Option<String>,
        pub line: Option<u32>,
        pub inlined: bool,
        pub kernel: bool,
    }
}

pub mod elf;
mod exercise;

pub use self::exercise::{exercise, with_image};
