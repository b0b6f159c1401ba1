//! Real images in which only the contents of debug sections are changed: any other change would
//! keep most inputs from ever reaching the DWARF reader.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use object::{CompressionFormat, Object as _, ObjectSection as _, read::elf::ElfFile64};

fuzz_target!(|bytes: &[u8]| monigo_fuzz::exercise(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed).unwrap_or(size)
});

/// Changes one debug section in place. It may shrink, which its header is told.
fn mutate(data: &mut [u8], size: usize, _max_size: usize, seed: u32) -> Option<usize> {
    let (index, start, length) = {
        let file = ElfFile64::<object::LittleEndian>::parse(&data[..size]).ok()?;
        let debug: Vec<_> = file
            .sections()
            .filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug_")))
            // Changes behind a compression are none of the DWARF's.
            .filter_map(|section| {
                let range = section.compressed_file_range().ok()?;
                (range.format == CompressionFormat::None)
                    .then_some((section.index().0, (range.offset, range.compressed_size)))
            })
            .filter(|(_, (start, length))| {
                *length > 0 && start.saturating_add(*length) <= size as u64
            })
            .collect();
        let (index, (start, length)) = debug.get(seed as usize % debug.len().max(1))?;
        (*index, *start as usize, *length as usize)
    };
    let mut contents = data[start..start + length].to_vec();
    let kept = fuzzer_mutate(&mut contents, length, length);
    data[start..start + kept].copy_from_slice(&contents[..kept]);
    if kept < length {
        let table = u64::from_le_bytes(data[40..48].try_into().ok()?) as usize;
        let field = table.checked_add(64 * index)?.checked_add(32)?;
        data.get_mut(field..field + 8)?
            .copy_from_slice(&(kept as u64).to_le_bytes());
    }
    Some(size)
}
