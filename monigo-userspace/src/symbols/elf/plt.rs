//! The procedure linkage table.

use std::{collections::HashMap, ops::Range};

use super::{
    super::{Image, bytes::u32_at},
    ENDIAN, each_rela,
};

/// The procedure linkage table: stubs by address, with the names they lead to.
#[derive(Debug, Default)]
pub(in super::super) struct Plt {
    pub ranges: Vec<Range<u64>>,
    stubs: Vec<(u64, String)>,
}

impl Plt {
    /// Largest stub in bytes.
    const STUB: u64 = 16;

    pub(in super::super) fn name(&self, vaddr: u64) -> Option<&str> {
        if !self.ranges.iter().any(|range| range.contains(&vaddr)) {
            return None;
        }
        let end = self.stubs.partition_point(|(start, _)| *start <= vaddr);
        let (start, name) = self.stubs.get(end.checked_sub(1)?)?;
        (vaddr - start < Self::STUB).then_some(name.as_str())
    }
}

pub(in super::super) fn plt(image: &Image) -> Plt {
    let mut plt = Plt::default();
    let Some(file) = image.elf() else { return plt };
    let dynamic = file.elf_dynamic_symbol_table();
    let mut slots: HashMap<u64, &str> = HashMap::new();
    each_rela(&file, |_, symbol, address, _| {
        let symbol = (symbol != 0).then_some(object::SymbolIndex(symbol as usize));
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
                let displacement = u32_at(stub, at + 2)?.cast_signed();
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
