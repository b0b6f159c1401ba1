//! Go's function table ("pclntab"): names, exact ranges, lines and inline trees.
//!
//! The layout follows `runtime/symtab.go` and `cmd/link/internal/ld/pcln.go` of Go 1.16 to 1.27.
//! The table is part of a file nobody vouches for, so every access is checked and every loop is
//! bounded; a damaged table yields fewer answers, never a panic.

mod inline;
mod padding;

use std::ops::Range;

use self::padding::{trimmed_length, trimmed_words};
use super::super::{
    Image, Machine,
    bytes::{text_at, u32_at, u64_at, varint},
};

/// Layouts, named after the first release that had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Layout {
    Go116,
    Go118,
    Go120,
}

impl Layout {
    pub(super) fn of_magic(magic: u32) -> Option<Self> {
        match magic {
            0xffff_fffa => Some(Self::Go116),
            0xffff_fff0 => Some(Self::Go118),
            0xffff_fff1 => Some(Self::Go120),
            _ => None,
        }
    }

    /// Bytes before `npcdata` in a function record.
    fn npcdata_at(self) -> usize {
        match self {
            Self::Go116 => 32,
            Self::Go118 | Self::Go120 => 28,
        }
    }

    /// Bytes of a function record before its `pcdata` array.
    fn record_size(self) -> usize {
        match self {
            Self::Go116 | Self::Go120 => 44,
            Self::Go118 => 40,
        }
    }
}

/// Steps of one pc table that are followed.
const MOST_STEPS: usize = 1 << 20;

/// The parsed header; the table itself stays in the image.
#[derive(Clone, Debug)]
pub(in super::super) struct GoTable {
    pub(super) layout: Layout,
    /// ELF virtual address of the header.
    pub(super) vaddr: u64,
    pub(super) quantum: u8,
    pub(super) functions: usize,
    pub(super) name_table: usize,
    pub(super) unit_table: usize,
    pub(super) file_table: usize,
    pub(super) pc_table: usize,
    pub(super) function_table: usize,
    /// Address that code offsets count from.
    pub(super) text_start: u64,
    /// Address that function data offsets count from, if it could be found.
    pub(super) function_data: Option<u64>,
}

/// A function in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry {
    /// From the entry to the last instruction; padding is cut off.
    pub range: Range<u64>,
    /// Into the name table.
    pub name_offset: u32,
    /// Where the record is, from the start of the table.
    record: usize,
}

impl GoTable {
    /// Parses the header at `vaddr`. `text_start` and `function_data` are filled in by `locate`.
    pub(super) fn parse(image: &Image, vaddr: u64) -> Option<Self> {
        let data = image.bytes_from(vaddr)?;
        let layout = Layout::of_magic(u32_at(data, 0)?)?;
        let [pad0, pad1, quantum, pointer] = *data.get(4..8)? else {
            return None;
        };
        if pad0 != 0 || pad1 != 0 || !matches!(quantum, 1 | 2 | 4) || pointer != 8 {
            return None;
        }
        let word = |at: usize| usize::try_from(u64_at(data, 8 + 8 * at)?).ok();
        // 1.18 put `textStart` in front of the offsets.
        let first = if layout == Layout::Go116 { 2 } else { 3 };
        let table = Self {
            layout,
            vaddr,
            quantum,
            functions: word(0)?,
            name_table: word(first)?,
            unit_table: word(first + 1)?,
            file_table: word(first + 2)?,
            pc_table: word(first + 3)?,
            function_table: word(first + 4)?,
            text_start: 0,
            function_data: None,
        };
        let offsets = [
            table.name_table,
            table.unit_table,
            table.file_table,
            table.pc_table,
            table.function_table,
        ];
        let ordered = offsets.is_sorted() && offsets.iter().all(|at| *at < data.len());
        let fits = table.functions > 0
            && table
                .functions
                .checked_mul(table.slot_size())?
                .checked_add(table.function_table)?
                <= data.len();
        (ordered && fits).then_some(table)
    }

    pub(super) fn data<'i>(&self, image: &'i Image) -> Option<&'i [u8]> {
        image.bytes_from(self.vaddr)
    }

    /// Bytes of an entry in the function table.
    fn slot_size(&self) -> usize {
        if self.layout == Layout::Go116 { 16 } else { 8 }
    }

    /// Address and record offset in slot `at`; the slot after the last function has the end
    /// address of its code.
    fn slot(&self, data: &[u8], at: usize) -> Option<(u64, Option<usize>)> {
        let base = self
            .function_table
            .checked_add(at.checked_mul(self.slot_size())?)?;
        if self.layout == Layout::Go116 {
            let record = u64_at(data, base + 8).and_then(|offset| usize::try_from(offset).ok());
            Some((u64_at(data, base)?, record))
        } else {
            let address = self
                .text_start
                .checked_add(u64::from(u32_at(data, base)?))?;
            Some((
                address,
                u32_at(data, base + 4).map(|offset| offset as usize),
            ))
        }
    }

    /// Addresses of functions, at most `most` of them spread over the table.
    pub(super) fn sample_addresses(&self, image: &Image, most: usize) -> Vec<u64> {
        let Some(data) = self.data(image) else {
            return Vec::new();
        };
        let step = (self.functions / most.max(1)).max(1);
        (0..self.functions)
            .step_by(step)
            .filter_map(|at| self.slot(data, at))
            .map(|(address, _)| address)
            .collect()
    }

    /// Every function, by address.
    pub(in super::super) fn entries(&self, image: &Image) -> Vec<Entry> {
        let Some(data) = self.data(image) else {
            return Vec::new();
        };
        (0..self.functions)
            .filter_map(|at| self.entry(image, data, at))
            .collect()
    }

    fn entry(&self, image: &Image, data: &[u8], at: usize) -> Option<Entry> {
        let (start, record) = self.slot(data, at)?;
        let (next, _) = self.slot(data, at + 1)?;
        if next <= start {
            return None;
        }
        let record = self.function_table.checked_add(record?)?;
        let name_at = if self.layout == Layout::Go116 { 8 } else { 4 };
        let name_offset = u32_at(data, record.checked_add(name_at)?)?;
        let end = image.code(start..next).map_or(next, |code| {
            let length = match image.machine() {
                Machine::X86_64 => trimmed_length(code),
                Machine::Arm64 => trimmed_words(code),
            };
            start + length as u64
        });
        Some(Entry {
            range: start..end,
            name_offset,
            record,
        })
    }

    fn entry_at(&self, image: &Image, vaddr: u64) -> Option<Entry> {
        let data = self.data(image)?;
        let (mut low, mut high) = (0, self.functions);
        // Invariant: slot `low` begins at or before `vaddr`, slot `high` after it.
        if self.slot(data, 0)?.0 > vaddr || self.slot(data, high)?.0 <= vaddr {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.slot(data, middle)?.0 <= vaddr {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.entry(image, data, low)
    }

    /// A name by its offset in the name table.
    pub(in super::super) fn name<'i>(&self, image: &'i Image, offset: u32) -> Option<&'i str> {
        let at = self.name_table.checked_add(offset as usize)?;
        (at < self.unit_table)
            .then(|| text_at(self.data(image)?, at))
            .flatten()
    }

    /// Value that a pc table gives for `vaddr`.
    fn pc_value(&self, data: &[u8], entry: &Entry, table: u32, vaddr: u64) -> Option<i32> {
        let mut found = None;
        self.walk_pc_table(data, entry, table, |end, value| {
            found = Some(value);
            vaddr >= end
        })?;
        found
    }

    /// Calls `visit` with the end address and the value of each step, until it returns false.
    pub(super) fn walk_pc_table(
        &self,
        data: &[u8],
        entry: &Entry,
        table: u32,
        mut visit: impl FnMut(u64, i32) -> bool,
    ) -> Option<()> {
        if table == 0 {
            return None;
        }
        let mut at = self.pc_table.checked_add(table as usize)?;
        let mut pc = entry.range.start;
        let mut value = -1_i32;
        for step in 0..MOST_STEPS {
            let raw = varint(data, &mut at)? as u32;
            if raw == 0 && step > 0 {
                return Some(());
            }
            let delta = (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed();
            value = value.wrapping_add(delta);
            let advance = varint(data, &mut at)?.checked_mul(u64::from(self.quantum))?;
            pc = pc.checked_add(advance)?;
            if !visit(pc, value) {
                return Some(());
            }
        }
        None
    }

    /// Offsets of the pc tables of `entry` for file numbers and for lines.
    pub(super) fn file_and_line_tables(&self, data: &[u8], entry: &Entry) -> Option<(u32, u32)> {
        let npcdata = self.layout.npcdata_at();
        Some((
            record_word(data, entry, npcdata - 8)?,
            record_word(data, entry, npcdata - 4)?,
        ))
    }

    /// Name and entry of the function at `vaddr`, and how many bytes it has on the stack there.
    pub(super) fn frame_size<'i>(
        &self,
        image: &'i Image,
        vaddr: u64,
    ) -> Option<(&'i str, u64, i32)> {
        let data = self.data(image)?;
        let entry = self.entry_at(image, vaddr)?;
        let table = record_word(data, &entry, self.layout.npcdata_at() - 12)?;
        let bytes = self.pc_value(data, &entry, table, vaddr)?;
        let name = self.name(image, entry.name_offset)?;
        Some((name, entry.range.start, bytes))
    }

    /// Name of the function at `vaddr`.
    pub(super) fn name_at<'i>(&self, image: &'i Image, vaddr: u64) -> Option<&'i str> {
        self.name(image, self.entry_at(image, vaddr)?.name_offset)
    }

    fn file_and_line(
        &self,
        image: &Image,
        entry: &Entry,
        vaddr: u64,
    ) -> (Option<String>, Option<u32>) {
        let Some(data) = self.data(image) else {
            return (None, None);
        };
        let npcdata = self.layout.npcdata_at();
        let value = |at: usize| {
            let table = record_word(data, entry, at)?;
            self.pc_value(data, entry, table, vaddr)
        };
        let file = value(npcdata - 8).and_then(|number| self.file(data, entry, number));
        let line = value(npcdata - 4).and_then(|line| u32::try_from(line).ok());
        (file.map(str::to_owned), line.filter(|line| *line > 0))
    }

    /// Source file of the instruction at `vaddr`.
    pub(super) fn file_at(&self, image: &Image, vaddr: u64) -> Option<String> {
        let entry = self.entry_at(image, vaddr)?;
        self.file_and_line(image, &entry, vaddr).0
    }

    /// File number `number` of the compilation unit of `entry`.
    pub(super) fn file<'d>(&self, data: &'d [u8], entry: &Entry, number: i32) -> Option<&'d str> {
        let unit = record_word(data, entry, self.layout.npcdata_at() + 4)?;
        let slot = (unit as usize).checked_add(usize::try_from(number).ok()?)?;
        let offset = u32_at(data, self.unit_table.checked_add(slot.checked_mul(4)?)?)?;
        if offset == u32::MAX {
            return None;
        }
        let at = self.file_table.checked_add(offset as usize)?;
        (at < self.pc_table).then(|| text_at(data, at)).flatten()
    }

    /// Offset of pc table `number` in `entry`, if it has one.
    fn pcdata(&self, data: &[u8], entry: &Entry, number: usize) -> Option<u32> {
        let count = record_word(data, entry, self.layout.npcdata_at())?;
        ((number as u64) < u64::from(count))
            .then(|| record_word(data, entry, self.layout.record_size() + 4 * number))
            .flatten()
    }
}

/// The 32-bit word `at` bytes into the record of `entry`.
fn record_word(data: &[u8], entry: &Entry, at: usize) -> Option<u32> {
    u32_at(data, entry.record.checked_add(at)?)
}
