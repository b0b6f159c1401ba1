//! One function of an image.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use arcstr::Substr;
use smallvec::SmallVec;

use super::demangle;

/// A name that shares its memory with the others of its image.
pub type Name = Substr;
/// Code, nearly always in one piece.
pub type Ranges = SmallVec<[Range<u64>; 1]>;

/// One function of an image. Clones (`.isra`, `.part`, generic instances) are separate
/// `Function`s; matching groups them.
///
/// Images have up to millions of them, so this is kept small.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name in the symbol table or pclntab.
    pub linkage_name: Name,
    /// Further names at the same address.
    pub aliases: Vec<Name>,
    /// Code of the function: the first range holds the entry, the others are its cold parts.
    pub ranges: Ranges,
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
        libraries: Arc<[String]>,
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
        linkage_name: impl Into<Name>,
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
        std::iter::once(self.linkage_name.as_str()).chain(self.aliases.iter().map(Name::as_str))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_functions_take_little_memory() {
        assert!(size_of::<Function>() <= 112, "{}", size_of::<Function>());
    }
}
