//! The Go version from `.go.buildinfo`.

use super::super::{
    Image,
    bytes::{u64_at, varint},
};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the inline format's strings, or the pointer format's pointers, begin.
const INLINE_AT: usize = 32;
const POINTERS_AT: usize = 16;
const LONGEST: u64 = 4096;

/// The version, from either format (pointers before 1.18, inline since).
pub(super) fn version(image: &Image) -> Option<String> {
    let section = image.section(".go.buildinfo")?;
    let data = image.section_bytes(section)?;
    if !data.starts_with(MAGIC) {
        return None;
    }
    let (pointer_size, flags) = (*data.get(14)?, *data.get(15)?);
    let text = if flags & 2 != 0 {
        let mut at = INLINE_AT;
        let length = usize::try_from(varint(data, &mut at)?).ok()?;
        data.get(at..at.checked_add(length)?)?.to_vec()
    } else {
        if pointer_size != 8 || flags & 1 != 0 {
            return None;
        }
        u64_at(data, POINTERS_AT)?;
        let header = image.relocated_word(section.vaddr.checked_add(POINTERS_AT as u64)?)?;
        let start = image.relocated_word(header)?;
        let length = image.relocated_word(header.checked_add(8)?)?;
        if length > LONGEST {
            return None;
        }
        image.bytes(start..start.checked_add(length)?)?.to_vec()
    };
    let text = String::from_utf8(text).ok()?;
    text.contains("go1").then_some(text)
}
