//! One function of an image.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::demangle;

/// One function of an image. Clones (`.isra`, `.part`, generic instances) are separate
/// `Function`s; matching groups them.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name in the symbol table or pclntab.
    pub linkage_name: String,
    /// Further names at the same address.
    pub aliases: Vec<String>,
    /// Code of the function: the first range holds the entry, the others are its cold parts.
    pub ranges: Vec<Range<u64>>,
    /// Whether it can be probed at all, as far as symbols tell.
    pub kind: FunctionKind,
    /// Demangling is the dearest part of reading symbols, and most names are never shown.
    demangled: OnceLock<Arc<str>>,
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

impl Function {
    /// A function with one range, or with none for the kinds that have no code.
    pub fn new(
        linkage_name: impl Into<String>,
        range: Option<Range<u64>>,
        kind: FunctionKind,
    ) -> Self {
        Self {
            linkage_name: linkage_name.into(),
            aliases: Vec::new(),
            ranges: range.into_iter().collect(),
            kind,
            demangled: OnceLock::new(),
        }
    }

    /// Demangled name, as shown.
    pub fn name(&self) -> &str {
        self.shared_name()
    }

    /// The same for whoever keeps it.
    pub(super) fn shared_name(&self) -> &Arc<str> {
        self.demangled
            .get_or_init(|| demangle::full(&self.linkage_name).into())
    }

    /// Address of the first instruction, for functions that have code or a symbol.
    pub fn entry(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.start)
    }

    /// Bytes of code, cold parts included.
    pub fn size_bytes(&self) -> u64 {
        self.ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// Whether `address` is inside one of the ranges.
    pub fn contains(&self, address: u64) -> bool {
        self.ranges.iter().any(|range| range.contains(&address))
    }

    /// The linkage name, then the aliases.
    pub fn linkage_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.linkage_name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.linkage_name == other.linkage_name
            && self.aliases == other.aliases
            && self.ranges == other.ranges
            && self.kind == other.kind
    }
}

impl Eq for Function {}

impl FunctionKind {
    /// Why a probe on it is refused; `None` for code.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Code => None,
            Self::Ifunc => Some(
                "IFUNC: runs once, at load time, to pick an implementation; trace that one"
                    .to_owned(),
            ),
            Self::Imported { libraries } if libraries.is_empty() => {
                Some("imported: its code is in another image".to_owned())
            }
            Self::Imported { libraries } => Some(format!(
                "imported: its code is in a library ({})",
                libraries.join(", ")
            )),
            Self::Inlined { callers: 1 } => Some("inlined into 1 caller".to_owned()),
            Self::Inlined { callers } => Some(format!("inlined into {callers} callers")),
            Self::NotCode => Some("not code, or of unknown size".to_owned()),
        }
    }
}
