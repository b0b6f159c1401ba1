//! What is in an executable image: its functions, under which names, and where.
//!
//! [`Image`] is opened once and then only read. Addresses are ELF virtual addresses ("vaddr")
//! unless a name says file offset; the kernel's uprobes want file offsets.

use std::{ops::Range, path::PathBuf};

use serde::{Deserialize, Serialize};

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

/// One function of an image. Clones (`.isra`, `.part`, generic instances) are separate
/// `Function`s; matching groups them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Demangled name, as shown.
    pub name: String,
    /// Name in the symbol table or pclntab.
    pub linkage_name: String,
    /// Code of the function: the first range holds the entry, the others are its cold parts.
    pub ranges: Vec<Range<u64>>,
    /// Whether it can be probed at all, as far as symbols tell.
    pub kind: FunctionKind,
}

/// What a symbol turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// Ordinary code.
    Code,
    /// An IFUNC resolver: runs once, at load time, instead of the function it picks.
    Ifunc,
    /// Imported: the code is in another image, often this library.
    Imported {
        /// `DT_NEEDED` libraries of the image, candidates for where it is.
        libraries: Vec<String>,
    },
    /// No code of its own: DWARF says that it was inlined everywhere.
    Inlined {
        /// Distinct functions it was inlined into.
        callers: usize,
    },
    /// A symbol whose bytes are not in an executable segment, or that has no size.
    NotCode,
}

/// A frame's code location in terms that outlive the process: image and vaddr.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The image file as shown to the user.
    pub image: PathBuf,
    /// ELF virtual address inside it.
    pub address: u64,
}
