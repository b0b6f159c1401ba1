//! A writer of small ELF images: as much as is needed to put bytes where a parser looks.

/// A section of an image.
pub struct Section<'a> {
    pub name: &'a str,
    pub address: u64,
    pub code: bool,
    pub bytes: &'a [u8],
}

/// A function or object in the symbol table.
pub struct Symbol<'a> {
    pub name: &'a str,
    pub address: u64,
    pub size: u64,
    pub function: bool,
}

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PAGE: usize = 4096;

/// An executable in which each section is a segment of its own.
pub fn write(sections: &[Section<'_>], symbols: &[Symbol<'_>]) -> Vec<u8> {
    let mut out = vec![0; HEADER + PROGRAM_HEADER * sections.len()];
    let mut names = vec![0];
    let mut headers = vec![[0_u64; 10]];
    for (index, section) in sections.iter().enumerate() {
        pad(&mut out, PAGE, section.address as usize % PAGE);
        let offset = out.len() as u64;
        let size = section.bytes.len() as u64;
        out.extend(section.bytes);
        let flags = if section.code { 5 } else { 4 };
        let program = [
            1 | flags << 32,
            offset,
            section.address,
            section.address,
            size,
            size,
            1,
        ];
        put(&mut out, HEADER + PROGRAM_HEADER * index, &program);
        let name = name(&mut names, section.name);
        let allocated = if section.code { 6 } else { 2 };
        headers.push([
            name,
            1,
            allocated,
            section.address,
            offset,
            size,
            0,
            0,
            1,
            0,
        ]);
    }
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for symbol in symbols {
        let at = name(&mut strings, symbol.name);
        let section = sections
            .iter()
            .position(|one| {
                (one.address..one.address + one.bytes.len() as u64).contains(&symbol.address)
            })
            .map_or(0xfff1, |index| index as u64 + 1);
        let kind = if symbol.function { 2 } else { 1 };
        let words = [
            at | (0x10 | kind) << 32 | section << 48,
            symbol.address,
            symbol.size,
        ];
        table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    let strings_index = headers.len() as u64 + 1;
    append(
        &mut out,
        &mut headers,
        name(&mut names, ".symtab"),
        2,
        &table,
        [strings_index, 1, 8, 24],
    );
    append(
        &mut out,
        &mut headers,
        name(&mut names, ".strtab"),
        3,
        &strings,
        [0, 0, 1, 0],
    );
    let own = name(&mut names, ".shstrtab");
    let names_index = headers.len() as u64;
    append(&mut out, &mut headers, own, 3, &names, [0, 0, 1, 0]);
    pad(&mut out, 8, 0);
    let table_at = out.len() as u64;
    for [
        name,
        kind,
        flags,
        address,
        offset,
        size,
        link,
        info,
        align,
        entry,
    ] in &headers
    {
        let words = [
            name | kind << 32,
            *flags,
            *address,
            *offset,
            *size,
            link | info << 32,
            *align,
            *entry,
        ];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    let identity = u64::from_le_bytes(*b"\x7fELF\x02\x01\x01\0");
    let header = [
        identity,
        0,
        2 | 62 << 16 | 1 << 32,
        sections.first().map_or(0, |section| section.address),
        HEADER as u64,
        table_at,
        (HEADER as u64) << 32 | (PROGRAM_HEADER as u64) << 48,
        sections.len() as u64 | 64 << 16 | (headers.len() as u64) << 32 | names_index << 48,
    ];
    put(&mut out, 0, &header);
    out
}

fn append(
    out: &mut Vec<u8>,
    headers: &mut Vec<[u64; 10]>,
    name: u64,
    kind: u64,
    bytes: &[u8],
    [link, info, align, entry]: [u64; 4],
) {
    pad(out, 8, 0);
    let (offset, size) = (out.len() as u64, bytes.len() as u64);
    headers.push([name, kind, 0, 0, offset, size, link, info, align, entry]);
    out.extend(bytes);
}

/// Adds a name to a string table; where it is.
fn name(table: &mut Vec<u8>, name: &str) -> u64 {
    let at = table.len() as u64;
    table.extend(name.bytes());
    table.push(0);
    at
}

/// Up to the next place that is `rest` modulo `unit`.
fn pad(out: &mut Vec<u8>, unit: usize, rest: usize) {
    let gap = (unit + rest - out.len() % unit) % unit;
    out.resize(out.len() + gap, 0);
}

fn put(out: &mut [u8], at: usize, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        out[at + 8 * index..][..8].copy_from_slice(&word.to_le_bytes());
    }
}
