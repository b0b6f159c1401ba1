//! Code ranges from unwind tables.
//!
//! Compilers move unlikely code of a function elsewhere (`name.cold`). In a stripped image no
//! symbol says so, but the unwind table has an entry for each piece. The same entries lead to
//! where exceptions enter a piece.

use std::ops::Range;

use gimli::{
    BaseAddresses, CommonInformationEntry, EhFrame, LittleEndian, Pointer, UnwindSection as _,
};

use super::landing;

/// Pieces of code that the image's unwind tables describe, ascending by address.
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    pieces: Vec<Piece>,
    /// The table ended in a malformed entry.
    incomplete: bool,
}

#[derive(Clone, Debug)]
struct Piece {
    range: Range<u64>,
    /// Where its exception table is.
    exceptions: Option<Pointer>,
}

impl Fragments {
    /// Reads `.eh_frame`, which lies at ELF virtual address `address`. Malformed entries end the
    /// table: what was read up to there is kept, since every piece stands alone.
    pub fn from_eh_frame(section: &[u8], address: u64) -> Self {
        let table = EhFrame::new(section, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(address);
        let mut entries = table.entries(&bases);
        let mut pieces = Vec::new();
        let mut incomplete = false;
        // What many entries in a row have in common.
        let mut shared: Option<(_, CommonInformationEntry<_>)> = None;
        loop {
            let partial = match entries.next() {
                Ok(Some(gimli::CieOrFde::Fde(partial))) => partial,
                Ok(Some(gimli::CieOrFde::Cie(_))) => continue,
                Ok(None) => break,
                Err(_) => {
                    incomplete = true;
                    break;
                }
            };
            let entry = partial.parse(|section: &EhFrame<_>, bases, offset| match &shared {
                Some((known, common)) if *known == offset => Ok(common.clone()),
                _ => {
                    let common = section.cie_from_offset(bases, offset)?;
                    shared = Some((offset, common.clone()));
                    Ok(common)
                }
            });
            let Ok(entry) = entry else {
                incomplete = true;
                continue;
            };
            let start = entry.initial_address();
            if let Some(end) = start.checked_add(entry.len())
                && end > start
            {
                pieces.push(Piece {
                    range: start..end,
                    exceptions: entry.lsda(),
                });
            }
        }
        pieces.sort_by_key(|piece| piece.range.start);
        Self { pieces, incomplete }
    }

    /// Every piece, ascending by address.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.pieces.iter().map(|piece| piece.range.clone())
    }

    /// The piece that `address` is in.
    pub fn containing(&self, address: u64) -> Option<Range<u64>> {
        let behind = self
            .pieces
            .partition_point(|piece| piece.range.start <= address);
        let range = &self.pieces.get(behind.checked_sub(1)?)?.range;
        range.contains(&address).then(|| range.clone())
    }

    /// Where exceptions that leave the code in `range` are caught or passed on by the same function:
    /// addresses, in no order. `None` if the tables cannot be read. `read` is that of
    /// [`super::Context`].
    pub fn landing_pads<'a>(
        &self,
        range: Range<u64>,
        read: &dyn Fn(u64, usize) -> Option<&'a [u8]>,
    ) -> Option<Vec<u64>> {
        if self.incomplete {
            return None;
        }
        let first = self
            .pieces
            .partition_point(|piece| piece.range.end <= range.start);
        let mut pads = Vec::new();
        for piece in &self.pieces[first..] {
            if piece.range.start >= range.end {
                break;
            }
            match piece.exceptions {
                // A null pointer.
                None | Some(Pointer::Direct(0)) => {}
                Some(Pointer::Direct(table)) => {
                    landing::pads(table, piece.range.start, read, &mut pads)?;
                }
                Some(Pointer::Indirect(_)) => return None,
            }
        }
        Some(pads)
    }
}
