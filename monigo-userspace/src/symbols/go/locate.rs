//! Finding the function table and the addresses that it counts from.

use super::{
    super::{Image, Machine, Segment, bytes::u32_at, elf},
    pclntab::{GoTable, Layout},
};

/// Words of `runtime.moduledata`, the same in Go 1.18 to 1.27.
const NAME_TABLE: u64 = 1;
const FIRST_PC: u64 = 20;
const TEXT: u64 = 22;
/// Where `gofunc` has been: 38 in 1.18, 40 from 1.20, 43 in 1.27. Each is checked before use.
const FUNCTION_DATA: [u64; 6] = [38, 40, 43, 41, 42, 44];

/// Finds the table, the text start and the function data, each checked against the code.
pub(super) fn locate(image: &Image) -> Option<GoTable> {
    by_section(image)
        .or_else(|| by_magic(image))
        .and_then(|table| complete(image, table))
}

fn by_section(image: &Image) -> Option<GoTable> {
    [".gopclntab", ".data.rel.ro.gopclntab"]
        .into_iter()
        .filter_map(|name| image.section(name))
        .find_map(|section| GoTable::parse(image, section.vaddr))
}

/// Position-independent programs have no section of their own for the table. It is in read-only
/// data, aligned to 8 bytes at least.
fn by_magic(image: &Image) -> Option<GoTable> {
    // Scanning every C library for a Go table would cost more than it finds.
    let go = [
        ".go.buildinfo",
        ".note.go.buildid",
        ".go.module",
        ".gosymtab",
    ];
    if !go.iter().any(|name| image.section(name).is_some()) {
        return None;
    }
    let segments = image
        .segments()
        .iter()
        .filter(|segment| !segment.executable);
    segments
        .into_iter()
        .find_map(|segment| scan(image, segment))
}

fn scan(image: &Image, segment: &Segment) -> Option<GoTable> {
    let data = image.bytes(segment.vaddr.clone())?;
    let first = (segment.vaddr.start.next_multiple_of(8) - segment.vaddr.start) as usize;
    (first..data.len().saturating_sub(8))
        .step_by(8)
        .filter(|at| u32_at(data, *at).and_then(Layout::of_magic).is_some())
        .find_map(|at| GoTable::parse(image, segment.vaddr.start + at as u64))
}

fn complete(image: &Image, table: GoTable) -> Option<GoTable> {
    let module = module_data(image, &table);
    let word = |at: u64| image.relocated_word(module?.checked_add(8 * at)?);
    let mut table = table;
    if table.layout != Layout::Go116 {
        let header = || image.relocated_word(table.vaddr + 24).filter(|at| *at != 0);
        let symbol = || elf::symbol_address(image, "runtime.text");
        let section = || image.section(".text").map(|section| section.vaddr);
        let found = [
            header(),
            word(TEXT).filter(|at| *at != 0),
            symbol(),
            section(),
        ];
        let text = found.into_iter().flatten().max_by_key(|text| {
            (
                score(image, &table, *text),
                *text == word(TEXT).unwrap_or(0),
            )
        })?;
        if score(image, &table, text) == 0 {
            return None;
        }
        table.text_start = text;
        let symbol = ["go:func.*", "go.func.*"]
            .into_iter()
            .filter_map(|name| elf::symbol_address(image, name));
        let candidates = FUNCTION_DATA.into_iter().filter_map(word).chain(symbol);
        table.function_data = candidates.into_iter().filter(|at| *at != 0).find(|at| {
            let mut candidate = table.clone();
            candidate.function_data = Some(*at);
            candidate.function_data_fits(image)
        });
    }
    Some(table)
}

/// How many of a sample of functions begin where a function can begin if code offsets count from
/// `text`: in executable memory, and behind padding or another function's end.
fn score(image: &Image, table: &GoTable, text: u64) -> usize {
    const SAMPLE: usize = 256;
    let mut candidate = table.clone();
    candidate.text_start = text;
    let addresses = candidate.sample_addresses(image, SAMPLE);
    let begins = |address: &u64| {
        let before = address
            .checked_sub(1)
            .and_then(|before| image.code(before..*address));
        let ends = |byte: u8| match image.machine() {
            // int3 padding, ret, ud2, or the end of a jump back.
            Machine::X86_64 => matches!(byte, 0xcc | 0xc3 | 0x0b | 0xff | 0x00),
            // Padding, ret or br, brk, a jump or a call.
            Machine::Arm64 => matches!(byte, 0x00 | 0xd6 | 0xd4 | 0x14 | 0x17 | 0x94 | 0x97),
        };
        image.is_code(*address) && before.is_none_or(|bytes| bytes.iter().all(|byte| ends(*byte)))
    };
    let good = addresses.iter().filter(|address| begins(address)).count();
    if addresses.iter().all(|address| image.is_code(*address)) {
        good
    } else {
        0
    }
}

/// Address of `runtime.firstmoduledata`: the place whose first word points at the table and whose
/// second one at its names.
fn module_data(image: &Image, table: &GoTable) -> Option<u64> {
    let names = table.vaddr.checked_add(table.name_table as u64)?;
    let fits = |at: u64| {
        image.relocated_word(at) == Some(table.vaddr)
            && image.relocated_word(at + 8 * NAME_TABLE) == Some(names)
            && image
                .relocated_word(at + 8 * FIRST_PC)
                .is_some_and(|pc| image.is_code(pc))
    };
    let relocated = image
        .relocations()
        .iter()
        .filter(|(_, value)| **value == table.vaddr)
        .map(|(at, _)| *at)
        .find(|at| fits(*at));
    if relocated.is_some() {
        return relocated;
    }
    let wanted = table.vaddr.to_le_bytes();
    let segments = image
        .segments()
        .iter()
        .filter(|segment| !segment.executable);
    for segment in segments {
        let data = image.bytes(segment.vaddr.clone()).unwrap_or_default();
        let found = data
            .chunks_exact(8)
            .enumerate()
            .filter(|(_, word)| **word == wanted)
            .map(|(at, _)| segment.vaddr.start + 8 * at as u64)
            .find(|at| fits(*at));
        if found.is_some() {
            return found;
        }
    }
    None
}
