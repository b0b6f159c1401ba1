//! Writes the seed corpora: `seeds DIRECTORY PROGRAM...`. The programs are the end-to-end tests'
//! own targets; each serves the fuzz targets that can use it.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Larger images are too slow to mutate.
const LARGEST_IMAGE: usize = 64_000;
/// Functions of one program that serve as seeds of the planner.
const MOST_FUNCTIONS: usize = 60;
/// Functions that a cut-down Go table keeps.
const TABLE_FUNCTIONS: usize = 24;

const PATTERNS: [&str; 18] = [
    "main",
    "handle",
    "Order::total",
    "twice",
    "twice<int>",
    "shop::twice::<u32>",
    "<shop::Apple as shop::Price>::price",
    "*",
    "shop::*",
    "/^main\\..*Handle/",
    "/(a|b)+$/",
    "lib:fn",
    "/usr/lib/libc.so.6:malloc",
    "file.rs:42",
    "main.(*Server).Handle",
    "main.Map[*]",
    "_ZN4shop5Order5totalEl",
    "operator<<",
];

/// As V8, the JVM and .NET write them.
const PERF_MAPS: [&str; 3] = [
    "7f3c00001000 1a0 LazyCompile:~handle /srv/shop.js:12:20\n7f3c000011a0 40 Builtin:ArgumentsAdaptor\n7f3c00001000 80 LazyCompile:*handle /srv/shop.js:12:20\n",
    "0x00007f0010000000 0x40 Interpreter\n0x00007f0010000040 0x1000 Lcom/shop/Order;::total\n",
    "00007F21D5A71000 1a int32 [shop] Shop.Order::Total(int32)[Tier0]\n",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let root = arguments
        .next()
        .ok_or("usage: seeds DIRECTORY PROGRAM...")?;
    for pattern in PATTERNS {
        save(&root, "pattern", pattern.as_bytes())?;
    }
    for map in PERF_MAPS {
        save(&root, "perf_map", map.as_bytes())?;
    }
    for program in arguments {
        let bytes = fs::read(&program)?;
        let file = object::File::parse(&*bytes)?;
        if bytes.len() <= LARGEST_IMAGE {
            save(&root, "elf", &bytes)?;
            let image = monigo_fuzz::symbols::Image::open(&program)?;
            let functions = image.functions();
            let few = &functions[..functions.len().min(MOST_FUNCTIONS)];
            if let Some(entry) = monigo_fuzz::symbols::cache::to_bytes("", few) {
                save(&root, "cache", &entry)?;
            }
            if file.section_by_name(".debug_info").is_some() {
                save(&root, "dwarf", &bytes)?;
            }
        }
        functions(&root, &file)?;
        if let Some(table) = file.section_by_name(".gopclntab") {
            let table = table.data()?;
            match shortened(table) {
                Some(short) => save(&root, "pclntab", &short)?,
                None => eprintln!("{}: no table to shorten", program.display()),
            }
        }
    }
    Ok(())
}

fn save(root: &Path, target: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    // The name only has to tell one from another.
    let name = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    Ok(fs::write(directory.join(format!("{name:016x}")), bytes)?)
}

/// One seed of the planner for each of some functions.
fn functions(root: &Path, file: &object::File<'_>) -> Result<(), Box<dyn Error>> {
    let go = file.section_by_name(".gopclntab").is_some();
    let text = file.section_by_name(".text").ok_or("no .text")?;
    let code: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && (1..1000).contains(&symbol.size()))
        .collect();
    for symbol in code.iter().step_by(code.len() / MOST_FUNCTIONS + 1) {
        let Some(bytes) = text.data_range(symbol.address(), symbol.size())? else {
            continue;
        };
        let first = u8::try_from(bytes.len() / 4)?;
        let mut seed = vec![u8::from(go), first, 0];
        seed.extend(bytes);
        save(root, "plan", &seed)?;
    }
    Ok(())
}

fn word(data: &[u8], at: usize) -> Option<usize> {
    Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?) as usize)
}

fn half(data: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// A Go table (1.18 or later) of a few functions: the header, their names, files, pc tables and
/// records, and nothing of the rest.
fn shortened(table: &[u8]) -> Option<Vec<u8>> {
    let at = |index: usize| word(table, 8 + 8 * index);
    let (count, names, units, files, pcs, slots) = (at(0)?, at(3)?, at(4)?, at(5)?, at(6)?, at(7)?);
    let record_bytes = if table[0] == 0xf1 { 44 } else { 40 };
    let (mut out_names, mut out_pcs) = (vec![0_u8], vec![0_u8]);
    let (mut out_slots, mut out_records) = (Vec::new(), Vec::new());
    let slots_bytes = 8 * TABLE_FUNCTIONS + 4;
    let mut code = 0_u32;
    for chosen in 0..TABLE_FUNCTIONS {
        let slot = slots + 8 * (chosen * (count / TABLE_FUNCTIONS.max(1)));
        let (start, next) = (half(table, slot)?, half(table, slot + 8)?);
        let record = slots + half(table, slot + 4)?;
        let pcdata = half(table, record + 28)?.min(4);
        let mut copy = table
            .get(record..record + record_bytes + 4 * pcdata)?
            .to_vec();
        copy[28..32].copy_from_slice(&(pcdata as u32).to_le_bytes());
        copy[..4].copy_from_slice(&code.to_le_bytes());
        let name = table.get(names + half(&copy, 4)?..)?;
        let name = &name[..name.iter().position(|byte| *byte == 0)?.min(60)];
        copy[4..8].copy_from_slice(&(out_names.len() as u32).to_le_bytes());
        out_names.extend(name);
        out_names.push(0);
        for field in (16..28)
            .step_by(4)
            .chain((0..pcdata).map(|i| record_bytes + 4 * i))
        {
            let from = half(&copy, field)?;
            if from == 0 {
                continue;
            }
            let steps = table.get(pcs + from..)?;
            copy[field..field + 4].copy_from_slice(&(out_pcs.len() as u32).to_le_bytes());
            // A table ends with a zero where a step would begin.
            let end = steps
                .windows(2)
                .skip(1)
                .position(|pair| pair[0] == 0 && pair[1] != 0)?
                + 2;
            out_pcs.extend(&steps[..end.min(40)]);
            out_pcs.push(0);
        }
        // All files are those of the first unit.
        copy[32..36].copy_from_slice(&0_u32.to_le_bytes());
        out_slots.extend(code.to_le_bytes());
        out_slots.extend(((slots_bytes + out_records.len()) as u32).to_le_bytes());
        out_records.extend(copy);
        code += (next - start).clamp(1, 2000) as u32;
    }
    out_slots.extend(code.to_le_bytes());
    let out_units = table.get(units..units + 64)?.to_vec();
    let out_files = table.get(files..files + 512)?.to_vec();
    while out_names.len() % 8 != 0 {
        out_names.push(0);
    }
    while out_pcs.len() % 8 != 0 {
        out_pcs.push(0);
    }
    debug_assert!(pcs > files);
    let mut out = table.get(..8)?.to_vec();
    let mut offset = 72;
    let lengths = [
        out_names.len(),
        out_units.len(),
        out_files.len(),
        out_pcs.len(),
    ];
    let mut header = vec![TABLE_FUNCTIONS, 1, 0x40_1000];
    for length in lengths {
        header.push(offset);
        offset += length;
    }
    header.push(offset);
    out.extend(
        header
            .iter()
            .flat_map(|value| (*value as u64).to_le_bytes()),
    );
    for part in [
        out_names,
        out_units,
        out_files,
        out_pcs,
        out_slots,
        out_records,
    ] {
        out.extend(part);
    }
    // Function data: an inline tree at zero of what follows, or so the fuzzer will have it.
    out.extend([0; 256]);
    Some(out)
}
