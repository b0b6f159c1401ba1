//! Where a Go program's scheduler keeps what says who runs and who waits.

use object::{Object as _, ObjectSymbol as _, elf as abi, read::elf::ProgramHeader as _};

use super::super::{Image, ImageKind, bytes::u64_at};

/// Most wait reasons that are read; Go 1.27 has 45.
const MAX_REASONS: u64 = 256;
/// Longest one, bytes.
const MAX_REASON_BYTES: u64 = 128;

/// Where the current `g` is, in bytes from the thread pointer (below it, so never 0). `None` for
/// libraries, whose place is only known at run time, and where the linker's choice cannot be told.
pub fn tls_g_offset(image: &Image) -> Option<i32> {
    /// Go's own linker, and every other one if there are no other thread-local variables.
    const ALONE: i32 = -8;
    if image.kind() == ImageKind::SharedLibrary {
        return None;
    }
    let elf = image.elf()?;
    let endian = elf.endian();
    let header = elf
        .elf_program_headers()
        .iter()
        .find(|header| header.p_type(endian) == abi::PT_TLS);
    let Some(header) = header else {
        return Some(ALONE);
    };
    let (bytes, alignment) = (header.p_memsz(endian), header.p_align(endian).max(1));
    if bytes == 8 {
        return Some(ALONE);
    }
    let symbol = elf
        .symbols()
        .find(|symbol| symbol.name() == Ok("runtime.tlsg"))?;
    // The executable's block ends at the thread pointer. Source: "ELF Handling For Thread-Local
    // Storage", variant II.
    let block = bytes.checked_next_multiple_of(alignment)?;
    let below = block.checked_sub(symbol.address())?;
    i32::try_from(below)
        .ok()
        .filter(|&bytes| bytes > 0)
        .map(|bytes| -bytes)
}

/// Offset of `curg` in `runtime.m` on 64-bit machines, bytes.
pub(super) fn known_curg_offset(minor: u32) -> Option<u32> {
    match minor {
        17..=24 => Some(192),
        25..=27 => Some(184),
        _ => None,
    }
}

/// Why goroutines are parked, by the number that the runtime gives each reason. Empty when the
/// table cannot be found.
pub fn wait_reasons(image: &Image) -> Vec<String> {
    let by_symbol = || {
        let elf = image.elf()?;
        let symbol = elf
            .symbols()
            .find(|symbol| symbol.name() == Ok("runtime.waitReasonStrings"))?;
        // Each is a pointer and a length.
        Some((symbol.address(), (symbol.size() / 16).min(MAX_REASONS)))
    };
    if let Some((at, count)) = by_symbol() {
        return (0..count)
            .map(|index| text_at(image, at.checked_add(index * 16)?))
            .map(Option::unwrap_or_default)
            .collect();
    }
    let Some(at) = unnamed_table(image) else {
        return Vec::new();
    };
    // The first is empty; the others are words, up to what is no text any more.
    let rest = (1..MAX_REASONS).map_while(|index| {
        let text = text_at(image, at.checked_add(index * 16)?)?;
        let plausible = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        plausible.then_some(text)
    });
    std::iter::once(String::new()).chain(rest).collect()
}

/// The table of a program without symbols: where the second text is the second reason and the third
/// one the third.
fn unnamed_table(image: &Image) -> Option<u64> {
    /// The same in Go 1.17 to 1.27.
    const SECOND: &str = "GC assist marking";
    const THIRD: &str = "IO wait";
    image.go()?;
    let length = (SECOND.len() as u64).to_le_bytes();
    let is_table = |second: u64| {
        text_at(image, second).as_deref() == Some(SECOND)
            && second
                .checked_add(16)
                .and_then(|third| text_at(image, third))
                .as_deref()
                == Some(THIRD)
    };
    image.segments().iter().find_map(|segment| {
        let data = image.bytes(segment.vaddr.clone())?;
        let first = (segment.vaddr.start.next_multiple_of(8) - segment.vaddr.start) as usize;
        (first..data.len().saturating_sub(8))
            .step_by(8)
            .filter(|at| data.get(*at..at + 8) == Some(&length))
            .map(|at| segment.vaddr.start + at as u64 - 8)
            .find(|second| is_table(*second))?
            .checked_sub(16)
    })
}

fn text_at(image: &Image, header: u64) -> Option<String> {
    let start = image.relocated_word(header)?;
    let length = header.checked_add(8)?;
    let length = u64_at(image.bytes(length..length.checked_add(8)?)?, 0)?;
    let length = length.min(MAX_REASON_BYTES);
    let text = image.bytes(start..start.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::known_curg_offset;

    #[test]
    fn unknown_versions_are_refused() {
        assert_eq!(known_curg_offset(19), Some(192));
        assert_eq!(known_curg_offset(27), Some(184));
        assert_eq!(known_curg_offset(28), None);
        assert_eq!(known_curg_offset(16), None);
    }
}
