//! Reading an ELF file: header facts, the function index, the PLT.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    path::PathBuf,
};

use object::{
    LittleEndian, Object as _,
    elf as abi,
    read::elf::{
        Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _,
        Sym as _, SymbolTable,
    },
};

use super::{
    Function, FunctionKind, Image, ImageKind, Language, Segment,
    demangle, go,
    image::Section,
};

type File<'data> = ElfFile64<'data, LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// What is read when an image is opened.
pub(super) struct Header {
    pub build_id: Option<String>,
    pub kind: ImageKind,
    pub needed: Vec<String>,
    pub segments: Vec<Segment>,
    pub sections: Vec<Section>,
    pub has_symtab: bool,
}

impl Header {
    pub(super) fn read(file: &File<'_>) -> Self {
        let mut segments = Vec::new();
        let mut interpreted = false;
        for header in file.elf_program_headers() {
            match header.p_type(ENDIAN) {
                abi::PT_INTERP => interpreted = true,
                abi::PT_LOAD => {
                    let (file_offset, size) = header.file_range(ENDIAN);
                    let start = header.p_vaddr(ENDIAN);
                    if let Some(end) = start.checked_add(size) {
                        segments.push(Segment {
                            vaddr: start..end,
                            file_offset,
                            executable: header.p_flags(ENDIAN).contains(abi::PF_X),
                        });
                    }
                }
                _ => {}
            }
        }
        segments.sort_by_key(|segment| segment.vaddr.start);
        let (needed, pie_flag) = dynamic(file);
        let kind = if file.elf_header().e_type(ENDIAN) == abi::ET_EXEC {
            ImageKind::Executable
        } else if interpreted || pie_flag {
            ImageKind::PieExecutable
        } else {
            ImageKind::SharedLibrary
        };
        let sections = sections(file);
        Self {
            build_id: file.build_id().ok().flatten().map(hex),
            kind,
            needed,
            segments,
            sections,
            has_symtab: !file.elf_symbol_table().is_empty(),
        }
    }
}

fn sections(file: &File<'_>) -> Vec<Section> {
    let table = file.elf_section_table();
    let section = |header| {
        let name = table.section_name(ENDIAN, header).unwrap_or_default();
        Section {
            name: String::from_utf8_lossy(name).into_owned(),
            vaddr: header.sh_addr(ENDIAN),
            file_offset: header.sh_offset(ENDIAN),
            size: header.sh_size(ENDIAN),
            empty: header.sh_type(ENDIAN) == abi::SHT_NOBITS,
        }
    };
    table.iter().map(section).collect()
}

/// `DT_NEEDED`, and whether `DF_1_PIE` is set.
fn dynamic(file: &File<'_>) -> (Vec<String>, bool) {
    let mut needed = Vec::new();
    let mut pie = false;
    let Ok(table) = file.elf_dynamic_table() else {
        return (needed, pie);
    };
    for entry in table.dynamics() {
        let value = entry.d_val(ENDIAN);
        match entry.d_tag(ENDIAN) {
            abi::DT_NULL => break,
            abi::DT_NEEDED => {
                let name = u32::try_from(value)
                    .ok()
                    .and_then(|at| table.strings().get(at).ok());
                if let Some(name) = name {
                    needed.push(String::from_utf8_lossy(name).into_owned());
                }
            }
            abi::DT_FLAGS_1 => pie = value & u64::from(abi::DF_1_PIE.0) != 0,
            _ => {}
        }
    }
    (needed, pie)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Relative relocations of every kind this architecture has: address to value.
pub(super) fn relative_relocations(image: &Image) -> HashMap<u64, u64> {
    let kind = if cfg!(target_arch = "aarch64") {
        abi::R_AARCH64_RELATIVE
    } else {
        abi::R_X86_64_RELATIVE
    };
    relocations(image, |file, out: &mut HashMap<u64, u64>| {
        each_rela(file, |entry_kind, _, address, addend| {
            if entry_kind == kind.0 {
                out.insert(address, addend as u64);
            }
        });
    })
}

fn relocations<T: Default>(image: &Image, read: impl FnOnce(&File<'_>, &mut T)) -> T {
    let mut out = T::default();
    if let Some(file) = image.elf() {
        read(&file, &mut out);
    }
    out
}

/// Calls `visit` with kind, symbol index, address and addend of each dynamic relocation.
fn each_rela(file: &File<'_>, mut visit: impl FnMut(u32, u32, u64, i64)) {
    for section in file.elf_section_table().iter() {
        // Relocation sections that are not loaded belong to the static linker.
        if section.sh_addr(ENDIAN) == 0 {
            continue;
        }
        if let Ok(Some((entries, _))) = section.rela(ENDIAN, file.data()) {
            for entry in entries {
                visit(
                    entry.r_type(ENDIAN, false).0,
                    entry.r_sym(ENDIAN, false),
                    entry.r_offset(ENDIAN),
                    entry.r_addend(ENDIAN),
                );
            }
        }
    }
}

/// All functions of an image, and who owns which address.
#[derive(Debug, Default)]
pub(super) struct FunctionIndex {
    pub functions: Vec<Function>,
    /// The symbols came from a separate debug file.
    pub from_debug_file: bool,
    /// Ranges of code by start, with the index of their function.
    by_address: Vec<(Range<u64>, usize)>,
}

impl FunctionIndex {
    fn new(mut functions: Vec<Function>, from_debug_file: bool) -> Self {
        functions.sort_by_key(|function| function.entry().unwrap_or(u64::MAX));
        let mut by_address: Vec<_> = functions
            .iter()
            .enumerate()
            .filter(|(_, function)| function.kind != FunctionKind::NotCode)
            .flat_map(|(at, function)| {
                function.ranges.iter().cloned().map(move |range| (range, at))
            })
            .collect();
        by_address.sort_by_key(|(range, _)| range.start);
        Self {
            functions,
            from_debug_file,
            by_address,
        }
    }

    pub(super) fn function_at(&self, vaddr: u64) -> Option<&Function> {
        /// Symbols inside other symbols (hand-written assembly) nest a few deep at most.
        const NESTED: usize = 16;
        let end = self
            .by_address
            .partition_point(|(range, _)| range.start <= vaddr);
        let (_, at) = self.by_address[..end]
            .iter()
            .rev()
            .take(NESTED)
            .find(|(range, _)| range.contains(&vaddr))?;
        self.functions.get(*at)
    }
}

/// A symbol as it stands in a table.
struct Symbol<'data> {
    name: &'data str,
    address: u64,
    size: u64,
    /// 0 global, 1 weak, 2 local: the order of preference among names of one address.
    rank: u8,
    ifunc: bool,
}

/// Function symbols of a table, and the names of undefined ones.
fn symbols<'data>(
    table: &SymbolTable<'data, abi::FileHeader64<LittleEndian>>,
    undefined: &mut HashSet<&'data str>,
) -> Vec<Symbol<'data>> {
    let mut out = Vec::new();
    for symbol in table.iter() {
        let kind = symbol.st_type();
        let ifunc = kind == abi::STT_GNU_IFUNC;
        if kind != abi::STT_FUNC && !ifunc {
            continue;
        }
        let name = table.symbol_name(ENDIAN, symbol).ok();
        let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
            continue;
        };
        // Linkers write versions into the names: `malloc@GLIBC_2.2.5`, `f@@V1`.
        let name = name
            .find('@')
            .filter(|at| *at > 0)
            .map_or(name, |at| &name[..at]);
        if name.is_empty() {
            continue;
        }
        if symbol.is_undefined(ENDIAN) {
            undefined.insert(name);
            continue;
        }
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
pub(super) fn index(image: &Image) -> FunctionIndex {
    let Some(file) = image.elf() else {
        return FunctionIndex::default();
    };
    let mut undefined = HashSet::new();
    let debug_image;
    let debug_elf;
    let mut from_debug_file = false;
    let mut found = symbols(file.elf_symbol_table(), &mut undefined);
    let stripped = found.is_empty();
    // Go programs carry their own table, stripped or not.
    if stripped && image.go_table().is_none() {
        debug_image = debug_file(image, &file);
        debug_elf = debug_image.as_deref().and_then(|data| File::parse(data).ok());
        if let Some(debug) = &debug_elf {
            found = symbols(debug.elf_symbol_table(), &mut HashSet::new());
            from_debug_file = !found.is_empty();
        }
    }
    found.extend(symbols(file.elf_dynamic_symbol_table(), &mut undefined));
    let mut functions = merge(image, found);
    if let Some(table) = image.go_table() {
        functions = go::functions(image, table, functions);
    }
    join_cold_parts(image, &mut functions);
    add_imported(image, &mut functions, &undefined);
    FunctionIndex::new(functions, from_debug_file)
}

/// One function per address, under its best name.
fn merge(image: &Image, mut symbols: Vec<Symbol<'_>>) -> Vec<Function> {
    let underscores = |name: &str| name.bytes().take_while(|c| *c == b'_').count();
    symbols.sort_by(|a, b| {
        let key = |s: &Symbol<'_>| (s.address, s.rank, std::cmp::Reverse(s.size));
        // Mangled names begin with an underscore, too, but never compete with plain ones.
        key(a)
            .cmp(&key(b))
            .then_with(|| underscores(a.name).cmp(&underscores(b.name)))
            .then_with(|| a.name.cmp(b.name))
    });
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
        let mut function = Function::new(best.name, Some(best.address..end), kind);
        for symbol in group {
            let known = function.linkage_names().any(|name| name == symbol.name);
            if !known {
                function.aliases.push(symbol.name.to_owned());
            }
        }
        functions.push(function);
    }
    functions
}

/// Functions that the image calls and others define.
fn add_imported(image: &Image, functions: &mut Vec<Function>, undefined: &HashSet<&str>) {
    let mut names: Vec<&str> = undefined.iter().copied().collect();
    names.sort_unstable();
    // A defined symbol of the same name (a PLT entry with an address, say) wins.
    let defined: HashSet<String> = functions
        .iter()
        .flat_map(Function::linkage_names)
        .filter(|name| undefined.contains(name))
        .map(str::to_owned)
        .collect();
    for name in names {
        if !defined.contains(name) {
            let libraries = image.needed().to_vec();
            let kind = FunctionKind::Imported { libraries };
            functions.push(Function::new(name, None, kind));
        }
    }
}

/// Joins `f.cold` to `f`: same call, moved out of the way by the compiler.
///
/// LLVM uses the same suffix for parts that it *calls*, which have returns of their own, so a part
/// is joined only to a function of its name that jumps into it.
fn join_cold_parts(image: &Image, functions: &mut Vec<Function>) {
    let is_cold = |function: &Function| {
        let (_, suffix) = demangle::split_clone_suffix(&function.linkage_name);
        function.kind == FunctionKind::Code && suffix.split('.').any(|word| word == "cold")
    };
    let cold: Vec<usize> = (0..functions.len())
        .filter(|at| is_cold(&functions[*at]))
        .collect();
    if cold.is_empty() {
        return;
    }
    let mut parents: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, function) in functions.iter().enumerate() {
        if function.kind == FunctionKind::Code && !is_cold(function) {
            for name in function.linkage_names() {
                parents.entry(name).or_default().push(at);
            }
        }
    }
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for part in cold {
        let Some(range) = functions[part].ranges.first() else {
            continue;
        };
        let Some(candidates) = parents.get(parent_name(&functions[part].linkage_name)) else {
            continue;
        };
        let edges = |at: &usize| edges_into(image, &functions[*at], range);
        let jumping: Vec<usize> = candidates
            .iter()
            .copied()
            .filter(|at| edges(at).jumps)
            .collect();
        match jumping.as_slice() {
            [parent] => joined.push((*parent, part)),
            // Only a jump table leads there.
            [] => {
                if let [parent] = candidates.as_slice()
                    && !edges(parent).calls
                {
                    joined.push((*parent, part));
                }
            }
            _ => {}
        }
    }
    for (parent, part) in &joined {
        let ranges = functions[*part].ranges.clone();
        functions[*parent].ranges.extend(ranges);
    }
    let parts: HashSet<usize> = joined.iter().map(|(_, part)| *part).collect();
    let mut at = 0;
    functions.retain(|_| {
        at += 1;
        !parts.contains(&(at - 1))
    });
}

/// `f.isra.0` for `f.isra.0.cold.3`.
fn parent_name(cold_name: &str) -> &str {
    let without_number = cold_name
        .rsplit_once('.')
        .filter(|(_, word)| word.bytes().all(|c| c.is_ascii_digit()))
        .map_or(cold_name, |(head, _)| head);
    without_number
        .strip_suffix(".cold")
        .unwrap_or(without_number)
}

struct Edges {
    jumps: bool,
    calls: bool,
}

/// Direct jumps and calls from a function into `target`. Looks at every byte position instead of
/// disassembling: four displacement bytes that hit the range by chance are no practical concern.
fn edges_into(image: &Image, function: &Function, target: &Range<u64>) -> Edges {
    let mut edges = Edges {
        jumps: false,
        calls: false,
    };
    let Some(range) = function.ranges.first() else {
        return edges;
    };
    let Some(code) = image.code(range.clone()) else {
        return edges;
    };
    let lands = |at: usize| {
        let Some(displacement) = super::bytes::u32_at(code, at) else {
            return false;
        };
        let next = range.start.wrapping_add(at as u64 + 4);
        let landing = next.wrapping_add_signed(i64::from(displacement.cast_signed()));
        target.contains(&landing)
    };
    for at in 0..code.len() {
        match code[at] {
            0xe9 => edges.jumps |= lands(at + 1),
            0xe8 => edges.calls |= lands(at + 1),
            0x0f if code.get(at + 1).is_some_and(|op| op & 0xf0 == 0x80) => {
                edges.jumps |= lands(at + 2);
            }
            _ => {}
        }
    }
    edges
}

/// A separate debug file: by build id, else by the name in `.gnu_debuglink`.
fn debug_file(image: &Image, file: &File<'_>) -> Option<Vec<u8>> {
    const LARGEST: u64 = 4 << 30;
    let root = PathBuf::from("/usr/lib/debug");
    let mut candidates = Vec::new();
    if let Some(id) = image.build_id().filter(|id| id.len() > 2) {
        candidates.push(
            root.join(".build-id")
                .join(&id[..2])
                .join(format!("{}.debug", &id[2..])),
        );
    }
    if let Ok(Some((name, _))) = file.gnu_debuglink()
        && let Ok(name) = std::str::from_utf8(name)
        && let Some(directory) = image.path().parent()
    {
        let absolute = directory.strip_prefix("/").unwrap_or(directory);
        candidates.push(directory.join(name));
        candidates.push(directory.join(".debug").join(name));
        candidates.push(root.join(absolute).join(name));
    }
    let id = image.build_id();
    candidates.into_iter().find_map(|path| {
        let small = std::fs::metadata(&path).ok()?.len() < LARGEST;
        let data = small.then(|| std::fs::read(&path).ok()).flatten()?;
        let debug = File::parse(&*data).ok()?;
        let debug_id = debug.build_id().ok().flatten().map(hex);
        (debug_id.as_deref() == id).then_some(data)
    })
}

/// Decides the language family by what the tool chain left behind.
pub(super) fn language(image: &Image) -> Language {
    if image.go().is_some() {
        return Language::Go;
    }
    let (mut rust, mut cpp) = (0_usize, 0_usize);
    for function in image.functions() {
        if matches!(function.kind, FunctionKind::Imported { .. }) {
            continue;
        }
        if demangle::is_rust(&function.linkage_name) {
            rust += 1;
        } else if demangle::is_cpp(&function.linkage_name) {
            cpp += 1;
        }
    }
    if rust == 0 && built_by_rustc(image) {
        rust = 1;
    }
    let runtime = |name: &String| name.starts_with("libstdc++.so") || name.starts_with("libc++.so");
    if rust > 0 && rust >= cpp {
        Language::Rust
    } else if cpp > 0 || image.needed().iter().any(runtime) {
        Language::Cpp
    } else {
        Language::C
    }
}

/// Whether `.comment` names rustc, or read-only data has paths of Rust's standard library.
fn built_by_rustc(image: &Image) -> bool {
    let has = |section: &str, needle: &str| {
        let bytes = image
            .section(section)
            .and_then(|section| image.section_bytes(section));
        let pattern = regex::bytes::Regex::new(needle);
        bytes.zip(pattern.ok()).is_some_and(|(bytes, pattern)| pattern.is_match(bytes))
    };
    has(".comment", "rustc version") || has(".rodata", "/rustc/[0-9a-f]{40}/")
}

/// The procedure linkage table: stubs by address, with the names they lead to.
#[derive(Debug, Default)]
pub(super) struct Plt {
    pub ranges: Vec<Range<u64>>,
    stubs: Vec<(u64, String)>,
}

impl Plt {
    /// Largest stub in bytes.
    const STUB: u64 = 16;

    pub(super) fn name(&self, vaddr: u64) -> Option<&str> {
        if !self.ranges.iter().any(|range| range.contains(&vaddr)) {
            return None;
        }
        let end = self.stubs.partition_point(|(start, _)| *start <= vaddr);
        let (start, name) = self.stubs.get(end.checked_sub(1)?)?;
        (vaddr - start < Self::STUB).then_some(name.as_str())
    }
}

pub(super) fn plt(image: &Image) -> Plt {
    let mut plt = Plt::default();
    let Some(file) = image.elf() else { return plt };
    let dynamic = file.elf_dynamic_symbol_table();
    let mut slots: HashMap<u64, &str> = HashMap::new();
    each_rela(&file, |_, symbol, address, _| {
        let symbol = (symbol != 0).then(|| object::SymbolIndex(symbol as usize));
        let name = symbol
            .and_then(|symbol| dynamic.symbol(symbol).ok())
            .and_then(|symbol| dynamic.symbol_name(ENDIAN, symbol).ok());
        if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) {
            slots.insert(address, name);
        }
    });
    for section in image.sections() {
        // `.plt`, `.plt.sec`, `.plt.got`
        if section.name != ".plt" && !section.name.starts_with(".plt.") {
            continue;
        }
        let range = section.vaddr..section.vaddr.saturating_add(section.size);
        let Some(code) = image.code(range.clone()) else {
            continue;
        };
        let step = if section.name == ".plt.got" && code.len() % 16 != 0 {
            8
        } else {
            Plt::STUB as usize
        };
        for (number, stub) in code.chunks(step).enumerate() {
            let start = range.start + (number * step) as u64;
            // `jmp *slot(%rip)`, the first one in the stub.
            let jump = stub.windows(2).position(|bytes| bytes == [0xff, 0x25]);
            let slot = jump.and_then(|at| {
                let displacement = super::bytes::u32_at(stub, at + 2)?.cast_signed();
                let next = start + at as u64 + 6;
                Some(next.wrapping_add_signed(i64::from(displacement)))
            });
            if let Some(name) = slot.and_then(|slot| slots.get(&slot)) {
                plt.stubs.push((start, (*name).to_owned()));
            }
        }
        plt.ranges.push(range);
    }
    plt.stubs.sort();
    plt
}

/// Address of the symbol with this exact name, of any type.
pub(super) fn symbol_address(image: &Image, wanted: &str) -> Option<u64> {
    let file = image.elf()?;
    let table = file.elf_symbol_table();
    let symbol = table
        .iter()
        .find(|symbol| table.symbol_name(ENDIAN, symbol) == Ok(wanted.as_bytes()))?;
    Some(symbol.st_value(ENDIAN)).filter(|address| *address != 0)
}
