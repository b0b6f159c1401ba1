//! What the Go tool chain leaves in its programs, stripped or not: the version, the function
//! table, lines, and what was inlined where.

mod buildinfo;
mod goroutine;
mod lines;
mod locate;
mod pclntab;
mod scheduler;
mod skipped;

use std::collections::{HashMap, HashSet};

use super::{Function, FunctionKind, Image, dwarf, dwarf::InlinedFunctions};

pub use self::{
    goroutine::{
        CodeSpot, GoroutineError, GoroutineLayout, code_spot, function_name, is_system,
        layout as goroutine_layout, list_candidates, variable,
    },
    scheduler::wait_reasons,
    skipped::skipped_caller,
};
pub(super) use self::{lines::code_of_line, pclntab::GoTable};

/// Facts about a Go program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoInfo {
    /// As the tool chain spells it: `go1.22.3`; empty when it could not be found.
    pub version: String,
    /// Minor version: 22 for `go1.22.3`.
    pub minor: Option<u32>,
    /// Offset of `goid` in `runtime.g`, bytes. Unknown for versions that monigo does not know,
    /// unless DWARF tells.
    pub goid_offset: Option<u32>,
    /// Where threads note the `g` that they run, in bytes from the thread pointer.
    pub tls_g_offset: Option<i32>,
    /// Offset of `curg` in `runtime.m`, bytes; only for versions that monigo knows.
    pub curg_offset: Option<u32>,
    /// Whether the function table was found. Without it there are no functions to trace, unless
    /// the symbol table has them.
    pub has_function_table: bool,
}

impl GoInfo {
    /// Whether arguments and `g` are in registers (amd64 from Go 1.17 on).
    pub fn register_abi(&self) -> bool {
        self.minor.is_some_and(|minor| minor >= 17)
    }

    /// Whether functions push the frame pointer right after the stack check (amd64 from 1.21 on).
    pub fn pushes_frame_pointer(&self) -> bool {
        self.minor.is_some_and(|minor| minor >= 21)
    }
}

/// One frame of a Go program, innermost first in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoFrame {
    /// Name as in the function table; generic arguments are elided to `[...]`.
    pub function: String,
    /// Source file.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u32>,
    /// Inlined into the next one.
    pub inlined: bool,
}

/// Recognises a Go program.
pub(super) fn read(image: &Image) -> Option<(GoInfo, Option<GoTable>)> {
    let version = buildinfo::version(image);
    let table = locate::locate(image);
    if version.is_none() && table.is_none() {
        return None;
    }
    let version = version.unwrap_or_default();
    let minor = minor_version(&version);
    let goid_offset = dwarf::goid_offset(image).or_else(|| minor.and_then(known_goid_offset));
    let info = GoInfo {
        version,
        minor,
        goid_offset,
        tls_g_offset: scheduler::tls_g_offset(image),
        curg_offset: minor.and_then(scheduler::known_curg_offset),
        has_function_table: table.is_some(),
    };
    Some((info, table))
}

/// `go1.22.3`, `devel go1.23-abcdef` and `go1.21rc2 X:loopvar` give 22, 23 and 21.
fn minor_version(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Offset of `goid` in `runtime.g` on 64-bit machines, bytes.
fn known_goid_offset(minor: u32) -> Option<u32> {
    match minor {
        13..=22 | 25..=27 => Some(152),
        23..=24 => Some(160),
        _ => None,
    }
}

/// The functions of the table, with what only the symbol table knows added: full generic names,
/// and C code linked in.
pub(super) fn functions(image: &Image, table: &GoTable, symbols: Vec<Function>) -> Vec<Function> {
    let mut by_entry: HashMap<u64, Function> = HashMap::new();
    let mut functions: Vec<Function> = Vec::new();
    let entries = table.entries(image);
    let covers = |address: u64| {
        let end = entries.partition_point(|entry| entry.range.start <= address);
        end.checked_sub(1)
            .and_then(|at| entries.get(at))
            .is_some_and(|entry| entry.range.contains(&address))
    };
    for symbol in symbols {
        let Some(entry) = symbol.entry() else {
            continue;
        };
        if covers(entry) {
            by_entry.insert(entry, symbol);
        } else if entries
            .binary_search_by_key(&entry, |e| e.range.start)
            .is_err()
        {
            functions.push(symbol);
        }
    }
    for entry in &entries {
        let name = table.name(image, entry.name_offset).unwrap_or_default();
        let symbol = by_entry.get(&entry.range.start);
        if name.is_empty() && symbol.is_none() {
            continue;
        }
        let kind = match image.code(entry.range.clone()) {
            // Data at the start of the text segment, in the table for the linker's convenience.
            Some(code) if !code.is_empty() && name != "go:buildid" && name != "go.buildid" => {
                FunctionKind::Code
            }
            _ => FunctionKind::NotCode,
        };
        // Only the symbol table spells generic arguments out.
        let best = match symbol {
            Some(symbol) if name.contains("[...]") || name.is_empty() => &symbol.linkage_name,
            _ => name,
        };
        let mut function = Function::new(best, Some(entry.range.clone()), kind);
        let others = symbol.map(Function::linkage_names).into_iter().flatten();
        for other in others.chain([name]) {
            if !other.is_empty() && function.linkage_names().all(|known| known != other) {
                function.aliases.push(other.into());
            }
        }
        functions.push(function);
    }
    functions
}

/// Frames at `vaddr`, innermost first; empty when no Go function is there.
pub(super) fn frames(image: &Image, table: &GoTable, vaddr: u64) -> Vec<GoFrame> {
    table.frames(image, vaddr).unwrap_or_default()
}

/// Every inlined function with its callers, from the inline trees.
pub(super) fn inlined(image: &Image, table: &GoTable) -> InlinedFunctions {
    let mut callers: HashMap<String, HashSet<u64>> = HashMap::new();
    for entry in table.entries(image) {
        for name in table.inlined_names(image, &entry) {
            callers.entry(name).or_default().insert(entry.range.start);
        }
    }
    InlinedFunctions::new(
        callers
            .into_iter()
            .map(|(name, callers)| (name, callers.len())),
    )
}

/// Whether the function is a wrapper that the compiler wrote: same method, other receiver type.
pub(super) fn is_generated(image: &Image, table: &GoTable, function: &Function) -> bool {
    function
        .entry()
        .and_then(|entry| table.file_at(image, entry))
        .is_some_and(|file| file == "<autogenerated>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(minor_version("go1.22.3"), Some(22));
        assert_eq!(minor_version("devel go1.23-abcdef Mon"), Some(23));
        assert_eq!(minor_version("go1.21rc2 X:loopvar"), Some(21));
        assert_eq!(minor_version("go2.1"), None);
        assert_eq!(minor_version(""), None);
        assert_eq!(known_goid_offset(19), Some(152));
        assert_eq!(known_goid_offset(24), Some(160));
        assert_eq!(known_goid_offset(28), None);
    }
}
