//! The function index: every symbol that is a function, one entry per address.

use std::{borrow::Cow, collections::HashSet, ops::Range, sync::Arc};

use arcstr::ArcStr;
use object::{
    LittleEndian, elf as abi,
    read::elf::{Sym as _, SymbolTable, VersionTable},
};

use super::{
    super::{Function, FunctionKind, Image, debug::DebugFile, go},
    ENDIAN,
    cold::join_parts,
};

type Header = abi::FileHeader64<LittleEndian>;

/// All functions of an image, and who owns which address.
#[derive(Debug, Default)]
pub(in super::super) struct FunctionIndex {
    pub functions: Vec<Function>,
    /// The symbols came from a separate debug file.
    pub from_debug_file: bool,
    /// Where those with code begin, with the index of each.
    mains: Vec<(u64, usize)>,
    /// Cold parts by start, with the index of their function.
    parts: Vec<(Range<u64>, usize)>,
}

impl FunctionIndex {
    pub(in super::super) fn new(mut functions: Vec<Function>, from_debug_file: bool) -> Self {
        functions.sort_by_key(|function| function.entry().unwrap_or(u64::MAX));
        let mut mains = Vec::with_capacity(functions.len());
        let mut parts = Vec::new();
        for (at, function) in functions.iter().enumerate() {
            if function.kind != FunctionKind::NotCode
                && let [main, cold @ ..] = &*function.ranges
            {
                mains.push((main.start, at));
                parts.extend(cold.iter().map(|range| (range.clone(), at)));
            }
        }
        parts.sort_by_key(|(range, _)| range.start);
        Self {
            functions,
            from_debug_file,
            mains,
            parts,
        }
    }

    pub(in super::super) fn function_at(&self, vaddr: u64) -> Option<&Function> {
        /// Symbols inside other symbols (hand-written assembly) nest a few deep at most.
        const NESTED: usize = 16;
        let end = self.mains.partition_point(|(start, _)| *start <= vaddr);
        let mains = self.mains[..end].iter().rev().filter_map(|(_, at)| {
            let range = self.functions.get(*at)?.ranges.first()?;
            Some((range, *at))
        });
        let end = self
            .parts
            .partition_point(|(range, _)| range.start <= vaddr);
        let parts = self.parts[..end].iter().rev();
        let parts = parts.map(|(range, at)| (range, *at));
        let around = [
            mains.take(NESTED).find(|(range, _)| range.contains(&vaddr)),
            parts.take(NESTED).find(|(range, _)| range.contains(&vaddr)),
        ];
        let innermost = around
            .into_iter()
            .flatten()
            .max_by_key(|(range, _)| range.start);
        self.functions.get(innermost?.1)
    }
}

/// A symbol as it stands in a table.
struct Symbol<'data> {
    name: Cow<'data, str>,
    address: u64,
    size: u64,
    /// 0 global, 1 weak, 2 local: the order of preference among names of one address.
    rank: u8,
    ifunc: bool,
}

/// Function symbols of a table, and the names of undefined ones.
fn symbols<'data>(
    table: &SymbolTable<'data, Header>,
    versions: Option<&VersionTable<'data, Header>>,
    undefined: &mut HashSet<&'data str>,
) -> Vec<Symbol<'data>> {
    let mut out = Vec::new();
    for (number, symbol) in table.enumerate() {
        let kind = symbol.st_type();
        let ifunc = kind == abi::STT_GNU_IFUNC;
        if kind != abi::STT_FUNC && !ifunc {
            continue;
        }
        let name = table.symbol_name(ENDIAN, symbol).ok();
        let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
            continue;
        };
        // Linkers write versions into the names: `f@@V2` is the `f` that programs link to today,
        // `f@V1` one kept for old programs, which must not pass for it.
        let plain = name
            .find('@')
            .filter(|at| *at > 0)
            .map_or(name, |at| &name[..at]);
        if plain.is_empty() {
            continue;
        }
        if symbol.is_undefined(ENDIAN) {
            undefined.insert(plain);
            continue;
        }
        let version = versions
            .map(|versions| versions.version_index(ENDIAN, number))
            .filter(abi::VersymIndex::is_hidden)
            .and_then(|index| versions?.version(index.index()).ok().flatten())
            .and_then(|version| std::str::from_utf8(version.name()).ok());
        let name = match version {
            Some(version) => Cow::Owned(format!("{plain}@{version}")),
            None if name[plain.len()..].starts_with("@@") => Cow::Borrowed(plain),
            None => Cow::Borrowed(name),
        };
        let address = symbol.st_value(ENDIAN);
        if address == 0 {
            continue;
        }
        let rank = match symbol.st_bind() {
            abi::STB_LOCAL => 2,
            abi::STB_WEAK => 1,
            _ => 0,
        };
        out.push(Symbol {
            name,
            address,
            size: symbol.st_size(ENDIAN),
            rank,
            ifunc,
        });
    }
    out
}

/// Reads every function of an image.
pub(in super::super) fn index(image: &Image) -> FunctionIndex {
    let Some(file) = image.elf() else {
        return FunctionIndex::default();
    };
    let mut undefined = HashSet::new();
    let debug_elf;
    let mut from_debug_file = false;
    let mut found = symbols(file.elf_symbol_table(), None, &mut undefined);
    let stripped = found.is_empty();
    // Go programs carry their own table, stripped or not.
    if stripped && image.go_table().is_none() {
        debug_elf = image.debug_file().and_then(DebugFile::elf);
        if let Some(debug) = &debug_elf {
            found = symbols(debug.elf_symbol_table(), None, &mut HashSet::new());
            from_debug_file = !found.is_empty();
        }
    }
    let versions = file
        .elf_section_table()
        .versions(ENDIAN, file.data())
        .ok()
        .flatten();
    found.extend(symbols(
        file.elf_dynamic_symbol_table(),
        versions.as_ref(),
        &mut undefined,
    ));
    let imported = imported(image, undefined, &found);
    let mut functions = merge(image, found);
    if let Some(table) = image.go_table() {
        functions = go::functions(image, table, functions);
    }
    join_parts(image, &mut functions);
    functions.extend(imported);
    FunctionIndex::new(functions, from_debug_file)
}

/// One function per address, under its best name.
fn merge(image: &Image, mut symbols: Vec<Symbol<'_>>) -> Vec<Function> {
    let underscores = |name: &str| name.bytes().take_while(|c| *c == b'_').count();
    // Names tell equal ones apart, so the order is the same whatever it was before.
    symbols.sort_unstable_by(|a, b| {
        let key = |s: &Symbol<'_>| (s.rank, std::cmp::Reverse(s.size));
        // Mangled names begin with an underscore, too, but never compete with plain ones.
        a.address
            .cmp(&b.address)
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| underscores(&a.name).cmp(&underscores(&b.name)))
            .then_with(|| a.name.cmp(&b.name))
    });
    // What is in both tables.
    symbols.dedup_by(|next, kept| {
        let same = next.address == kept.address && next.name == kept.name;
        if same {
            kept.ifunc |= next.ifunc;
            if kept.size == 0 {
                kept.size = next.size;
            }
        }
        same
    });
    let Some(text) = joined_names(&mut symbols) else {
        return Vec::new();
    };
    let mut at = 0;
    let mut functions: Vec<Function> = Vec::with_capacity(symbols.len());
    for group in symbols.chunk_by(|a, b| a.address == b.address) {
        let Some(best) = group.first() else { continue };
        let size = if best.size > 0 {
            best.size
        } else {
            group.iter().map(|symbol| symbol.size).max().unwrap_or(0)
        };
        let end = best.address.saturating_add(size);
        let is_code = size > 0 && image.code(best.address..end).is_some();
        let kind = match (group.iter().any(|symbol| symbol.ifunc), is_code) {
            (true, _) => FunctionKind::Ifunc,
            (false, true) => FunctionKind::Code,
            (false, false) => FunctionKind::NotCode,
        };
        let mut names = group.iter().map(|symbol| {
            let start = at;
            at += symbol.name.len();
            text.substr(start..at)
        });
        let Some(name) = names.next() else { continue };
        let mut function = Function::new(name, Some(best.address..end), kind);
        for name in names {
            let known = function.linkage_names().any(|known| known == name);
            if !known {
                function.aliases.push(name);
            }
        }
        functions.push(function);
    }
    functions
}

/// The names of all symbols one after the other. A damaged table can repeat a long name for each symbol: those
/// that are too much go.
fn joined_names(symbols: &mut Vec<Symbol<'_>>) -> Option<ArcStr> {
    /// No image has as many, bytes. Names point into them with 32 bits.
    const MOST: usize = 1 << 30;
    let mut length = 0;
    let too_much = symbols.iter().position(|symbol| {
        let longer = length + symbol.name.len();
        if longer <= MOST {
            length = longer;
        }
        longer > MOST
    });
    symbols.truncate(too_much.unwrap_or(symbols.len()));
    if length == 0 {
        return Some(ArcStr::new());
    }
    let text = ArcStr::init_with(length, |mut rest| {
        for symbol in symbols.iter() {
            let (place, behind) = rest.split_at_mut(symbol.name.len());
            place.copy_from_slice(symbol.name.as_bytes());
            rest = behind;
        }
    });
    // Each of them is UTF-8, and so is the whole.
    text.ok()
}

/// Functions that the image calls and others define.
fn imported(image: &Image, mut undefined: HashSet<&str>, defined: &[Symbol<'_>]) -> Vec<Function> {
    // Most names are ruled out by their length alone, without being hashed.
    let mut lengths = [false; 256];
    for name in &undefined {
        lengths[name.len() % 256] = true;
    }
    // A defined symbol of the same name (a PLT entry with an address, say) wins.
    for symbol in defined {
        if lengths[symbol.name.len() % 256] {
            undefined.remove(&*symbol.name);
        }
    }
    let mut names: Vec<&str> = undefined.into_iter().collect();
    names.sort_unstable();
    let libraries: Arc<[String]> = image.needed().into();
    let kind = || FunctionKind::Imported {
        libraries: Arc::clone(&libraries),
    };
    let functions = names.into_iter();
    functions
        .map(|name| Function::new(name, None, kind()))
        .collect()
}
