//! The procedure linkage table.

use std::{collections::HashMap, ops::Range};

use super::{
    super::{Image, Machine, bytes::u32_at},
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
        if image.machine() == Machine::Arm64 {
            let stubs = arm64_stubs(range.start, code);
            let named =
                stubs.filter_map(|(start, slot)| Some((start, (*slots.get(&slot)?).into())));
            plt.stubs.extend(named);
            plt.ranges.push(range);
            continue;
        }
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

/// Stubs of arm64 with the slot that each jumps through: `adrp x16, page; ldr x17, [x16, offset]`.
fn arm64_stubs(start: u64, code: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    const WORD: usize = 4;
    let words = code.len() / WORD;
    (0..words.saturating_sub(1)).filter_map(move |number| {
        let at = number * WORD;
        let (page, load) = (u32_at(code, at)?, u32_at(code, at + WORD)?);
        if page & 0x9f00_001f != 0x9000_0010 || load & 0xffc0_03ff != 0xf940_0211 {
            return None;
        }
        let address = start + at as u64;
        // 21 bits, the lowest two apart, in pages.
        let pages = page << 8 >> 13 << 2 | page >> 29 & 3;
        let pages = i64::from((pages << 11).cast_signed() >> 11);
        let page = (address & !0xfff).wrapping_add_signed(pages << 12);
        Some((
            address,
            page.wrapping_add(u64::from(load >> 10 & 0xfff) * 8),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::arm64_stubs;

    #[test]
    fn stubs_of_arm64_name_their_slot() {
        // bti c; adrp x16, 0x2f000; ldr x17, [x16, #0xfb8]; add x16, x16, #0xfb8; br x17
        let words = [
            0xd503_245f_u32,
            0xf000_0130,
            0xf947_de11,
            0x913e_e210,
            0xd61f_0220,
        ];
        let code: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        let stubs: Vec<_> = arm64_stubs(0x8000, &code).collect();
        assert_eq!(stubs, [(0x8004, 0x2_ffb8)]);
        // One page back.
        let code: Vec<u8> = [0xf0ff_fff0_u32, 0xf940_0211]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        assert_eq!(
            arm64_stubs(0x8000, &code).collect::<Vec<_>>(),
            [(0x8000, 0x7000)]
        );
        assert_eq!(arm64_stubs(0, &[]).count(), 0);
    }
}
