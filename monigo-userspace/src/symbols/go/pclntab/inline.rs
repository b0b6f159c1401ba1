//! Inline trees: which functions an instruction is in, beside the one that holds it.

use std::collections::BTreeSet;

use super::{
    super::{super::Image, GoFrame},
    Entry, GoTable, Layout, record_word, u32_at,
};

const PCDATA_INLINE_TREE: usize = 2;
const FUNCDATA_INLINE_TREE: usize = 3;
/// Functions inlined into each other deeper than this are not believed.
const MOST_INLINED: usize = 256;

struct InlinedCall {
    name_offset: u32,
    /// Offset of an instruction at the call site, from the function's entry.
    parent_pc: i32,
    /// File number and line of the call site, before 1.20.
    call_site: Option<(i32, i32)>,
    /// Index of the caller in the tree, before 1.20.
    parent: Option<i32>,
}

impl GoTable {
    /// The inline tree's bytes, to the end of their segment.
    fn inline_tree<'i>(&self, image: &'i Image, entry: &Entry) -> Option<&'i [u8]> {
        let data = self.data(image)?;
        let count = record_word(data, entry, self.layout.npcdata_at())? as usize;
        let counted = entry.record.checked_add(self.layout.record_size() - 1)?;
        if usize::from(*data.get(counted)?) <= FUNCDATA_INLINE_TREE {
            return None;
        }
        let array = entry
            .record
            .checked_add(self.layout.record_size())?
            .checked_add(count.checked_mul(4)?)?;
        let address = if self.layout == Layout::Go116 {
            // Pointers, aligned.
            let at = array.checked_next_multiple_of(8)? + 8 * FUNCDATA_INLINE_TREE;
            image.relocated_word(self.vaddr.checked_add(at as u64)?)?
        } else {
            let offset = u32_at(data, array.checked_add(4 * FUNCDATA_INLINE_TREE)?)?;
            if offset == u32::MAX {
                return None;
            }
            self.function_data?.checked_add(u64::from(offset))?
        };
        (address != 0).then(|| image.bytes_from(address)).flatten()
    }

    fn inlined_call(&self, tree: &[u8], index: usize) -> Option<InlinedCall> {
        if self.layout == Layout::Go120 {
            let at = index.checked_mul(16)?;
            Some(InlinedCall {
                name_offset: u32_at(tree, at + 4)?,
                parent_pc: u32_at(tree, at + 8)?.cast_signed(),
                call_site: None,
                parent: None,
            })
        } else {
            let at = index.checked_mul(20)?;
            let parent = u32_at(tree, at)? as u16;
            Some(InlinedCall {
                name_offset: u32_at(tree, at + 12)?,
                parent_pc: u32_at(tree, at + 16)?.cast_signed(),
                call_site: Some((
                    u32_at(tree, at + 4)?.cast_signed(),
                    u32_at(tree, at + 8)?.cast_signed(),
                )),
                parent: Some(i32::from(parent.cast_signed())),
            })
        }
    }

    /// Frames at `vaddr`, innermost first.
    pub(in crate::symbols::go) fn frames(&self, image: &Image, vaddr: u64) -> Option<Vec<GoFrame>> {
        let data = self.data(image)?;
        let entry = self.entry_at(image, vaddr)?;
        let mut frames = Vec::new();
        let mut position = vaddr;
        let (mut file, mut line) = self.file_and_line(image, &entry, position);
        if let Some(tree) = self.inline_tree(image, &entry)
            && let Some(table) = self.pcdata(data, &entry, PCDATA_INLINE_TREE)
        {
            let mut index = self.pc_value(data, &entry, table, position).unwrap_or(-1);
            while index >= 0 && frames.len() < MOST_INLINED {
                let Some(call) = self.inlined_call(tree, index as usize) else {
                    break;
                };
                let Some(name) = self.name(image, call.name_offset) else {
                    break;
                };
                frames.push(GoFrame {
                    function: name.to_owned(),
                    file: file.take(),
                    line: line.take(),
                    inlined: true,
                });
                if let (Some((number, at)), Some(parent)) = (call.call_site, call.parent) {
                    file = self.file(data, &entry, number).map(str::to_owned);
                    line = u32::try_from(at).ok();
                    index = parent;
                    continue;
                }
                let Ok(offset) = u64::try_from(call.parent_pc) else {
                    break;
                };
                position = entry.range.start.checked_add(offset)?;
                (file, line) = self.file_and_line(image, &entry, position);
                index = self.pc_value(data, &entry, table, position).unwrap_or(-1);
            }
        }
        let name = self.name(image, entry.name_offset)?;
        frames.push(GoFrame {
            function: name.to_owned(),
            file,
            line,
            inlined: false,
        });
        Some(frames)
    }

    /// Names of all functions inlined into `entry`.
    pub(in crate::symbols::go) fn inlined_names(
        &self,
        image: &Image,
        entry: &Entry,
    ) -> Vec<String> {
        let collect = || -> Option<Vec<String>> {
            let data = self.data(image)?;
            let table = self.pcdata(data, entry, PCDATA_INLINE_TREE)?;
            let tree = self.inline_tree(image, entry)?;
            let mut largest = -1_i32;
            self.walk_pc_table(data, entry, table, |_, value| {
                largest = largest.max(value);
                true
            })?;
            // A node whose code was optimised away has no pc, but its index is below its
            // children's, so all up to the largest exist.
            let count = usize::try_from(largest.checked_add(1)?).ok()?;
            let names: BTreeSet<&str> = (0..count.min(1 << 16))
                .filter_map(|index| self.inlined_call(tree, index))
                .filter_map(|call| self.name(image, call.name_offset))
                .collect();
            Some(names.into_iter().map(str::to_owned).collect())
        };
        collect().unwrap_or_default()
    }

    /// Whether `function_data` makes sense: the inline trees of a sample of functions decode to
    /// names that start where names start, and to call sites inside their functions.
    pub(in crate::symbols::go) fn function_data_fits(&self, image: &Image) -> bool {
        const ENOUGH: usize = 32;
        const LOOKED_AT: usize = 4096;
        let Some(data) = self.data(image) else {
            return false;
        };
        let mut good = 0;
        for at in 0..self.functions.min(LOOKED_AT) {
            let Some(entry) = self.entry(image, data, at) else {
                continue;
            };
            let Some(tree) = self.inline_tree(image, &entry) else {
                continue;
            };
            let Some(call) = self.inlined_call(tree, 0) else {
                return false;
            };
            let start = self.name_table.saturating_add(call.name_offset as usize);
            let name_starts = call.name_offset == 0 || data.get(start - 1) == Some(&0);
            let named = self
                .name(image, call.name_offset)
                .is_some_and(|name| !name.is_empty());
            let inside = u64::try_from(call.parent_pc)
                .is_ok_and(|offset| offset < entry.range.end - entry.range.start);
            if !(name_starts && named && inside) {
                return false;
            }
            good += 1;
            if good == ENOUGH {
                return true;
            }
        }
        good > 0
    }
}
