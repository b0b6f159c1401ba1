//! Code ranges from unwind tables.
//!
//! Compilers move unlikely code of a function elsewhere (`name.cold`). In a stripped image no
//! symbol says so, but the unwind table has an entry for each piece.

use std::ops::Range;

use gimli::{BaseAddresses, EhFrame, LittleEndian, UnwindSection as _};

/// Pieces of code that the image's unwind tables describe, ascending by address.
#[derive(Clone, Debug, Default)]
pub struct Fragments(Vec<Range<u64>>);

impl Fragments {
    /// Reads `.eh_frame`, which lies at ELF virtual address `address`. Malformed entries end the
    /// table: what was read up to there is kept, since every piece stands alone.
    pub fn from_eh_frame(section: &[u8], address: u64) -> Self {
        let table = EhFrame::new(section, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(address);
        let mut entries = table.entries(&bases);
        let mut ranges = Vec::new();
        while let Ok(Some(entry)) = entries.next() {
            let gimli::CieOrFde::Fde(partial) = entry else {
                continue;
            };
            let Ok(entry) = partial.parse(EhFrame::cie_from_offset) else {
                continue;
            };
            let start = entry.initial_address();
            if let Some(end) = start.checked_add(entry.len())
                && end > start
            {
                ranges.push(start..end);
            }
        }
        ranges.sort_by_key(|range| range.start);
        Self(ranges)
    }

    /// The piece that `address` is in.
    pub fn containing(&self, address: u64) -> Option<Range<u64>> {
        let behind = self.0.partition_point(|range| range.start <= address);
        let range = self.0.get(behind.checked_sub(1)?)?;
        range.contains(&address).then(|| range.clone())
    }
}
