//! Reading an ELF file: header facts, relocations, the language.

mod cold;
mod index;
mod plt;

use std::collections::HashMap;

use object::{
    LittleEndian, Object as _, elf as abi,
    read::elf::{
        CompressionHeader as _, Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _,
        Rela as _, SectionHeader as _, Sym as _,
    },
};

pub(super) use self::{
    index::{FunctionIndex, index},
    plt::{Plt, plt},
};
use super::{FunctionKind, Image, ImageKind, Language, Machine, Segment, demangle, image::Section};

type File<'data> = ElfFile64<'data, LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// What is read when an image is opened.
pub(super) struct Header {
    pub build_id: Option<String>,
    pub kind: ImageKind,
    pub dynamic: Dynamic,
    pub segments: Vec<Segment>,
    pub sections: Vec<Section>,
    pub has_symtab: bool,
    pub decompressible: bool,
}

/// A compressed section that claims to be more than this many times larger is damaged: zlib cannot
/// do better than 1032, and nobody's debug information comes near.
const BEST_COMPRESSION: u64 = 1032;

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
        let dynamic = dynamic(file);
        let kind = if file.elf_header().e_type(ENDIAN) == abi::ET_EXEC {
            ImageKind::Executable
        } else if interpreted || dynamic.pie {
            ImageKind::PieExecutable
        } else {
            ImageKind::SharedLibrary
        };
        let sections = sections(file);
        Self {
            build_id: file.build_id().ok().flatten().map(hex),
            kind,
            dynamic,
            segments,
            sections,
            has_symtab: !file.elf_symbol_table().is_empty(),
            decompressible: is_decompressible(file),
        }
    }
}

/// Whether no compressed section claims an impossible size. Who believes such a claim and reserves
/// the memory ends the process.
pub(super) fn is_decompressible(file: &File<'_>) -> bool {
    file.elf_section_table()
        .iter()
        .all(|section| match section.compression(ENDIAN, file.data()) {
            Ok(Some((header, _, bytes))) => {
                header.ch_size(ENDIAN) <= bytes.saturating_mul(BEST_COMPRESSION)
            }
            Ok(None) => true,
            Err(_) => false,
        })
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

/// What the dynamic loader reads.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_RPATH`: searched before the environment's path, unless there is a `DT_RUNPATH`.
    pub path_before: String,
    /// `DT_RUNPATH`: searched behind it.
    pub path_after: String,
    /// `DF_1_PIE`.
    pie: bool,
}

fn dynamic(file: &File<'_>) -> Dynamic {
    let mut found = Dynamic::default();
    let Ok(table) = file.elf_dynamic_table() else {
        return found;
    };
    for entry in table.dynamics() {
        let value = entry.d_val(ENDIAN);
        let text = || {
            let text = table.strings().get(u32::try_from(value).ok()?).ok()?;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        match entry.d_tag(ENDIAN) {
            abi::DT_NULL => break,
            abi::DT_NEEDED => found.needed.extend(text()),
            abi::DT_SONAME => found.soname = text(),
            abi::DT_RPATH => found.path_before = text().unwrap_or_default(),
            abi::DT_RUNPATH => found.path_after = text().unwrap_or_default(),
            abi::DT_FLAGS_1 => found.pie = value & abi::DF_1_PIE.0 != 0,
            _ => {}
        }
    }
    if !found.path_after.is_empty() {
        found.path_before.clear();
    }
    found
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
    let kind = match image.machine() {
        Machine::X86_64 => abi::R_X86_64_RELATIVE,
        Machine::Arm64 => abi::R_AARCH64_RELATIVE,
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
        bytes
            .zip(pattern.ok())
            .is_some_and(|(bytes, pattern)| pattern.is_match(bytes))
    };
    has(".comment", "rustc version") || has(".rodata", "/rustc/[0-9a-f]{40}/")
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
