//! How many returns of a binary are replaced, and whether the frames at the sites that stand for
//! them are those of the unwind table.

use std::path::Path;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EhFrameOffset, EndianSlice, LittleEndian,
    UnwindContext, UnwindSection as _, X86_64,
};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object as _, ObjectSection as _};

use crate::plan::{CostClass, Frame, FunctionCode, FunctionPlan, Site, SiteKind};

/// What is seen of one binary.
pub(super) struct Exits<'a> {
    frames: Frames<'a>,
    returns: usize,
    returns_left: usize,
    epilogues: usize,
    /// Functions without a single-stepped site.
    cheap: usize,
    /// Frames that the unwind table agrees with.
    same: usize,
    others: Vec<String>,
}

impl<'a> Exits<'a> {
    pub(super) fn of(file: &object::File<'a>) -> Self {
        Self {
            frames: Frames::of(file),
            returns: 0,
            returns_left: 0,
            epilogues: 0,
            cheap: 0,
            same: 0,
            others: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &str, code: &[FunctionCode<'_>], plan: &FunctionPlan) {
        self.returns += code.iter().map(returns).sum::<usize>();
        self.cheap += usize::from(plan.cost_class() < CostClass::SingleStep);
        for site in &plan.exits {
            match site.kind {
                SiteKind::Return => self.returns_left += 1,
                SiteKind::Epilogue { .. } => self.epilogues += 1,
                _ => {}
            }
            match self.frames.agrees(site) {
                Some(true) => self.same += 1,
                Some(false) => self.others.push(format!("{name}: {site:x?}")),
                None => {}
            }
        }
    }

    /// Prints it; panics if frames differ.
    pub(super) fn finish(&self, path: &Path) {
        let replaced = self.returns.saturating_sub(self.returns_left);
        println!(
            "  {replaced} of {} returns replaced ({:.1} %) by {} sites, {} of them compared with the \
             unwind table; {} functions need no single-stepped site",
            self.returns,
            100.0 * replaced as f64 / self.returns.max(1) as f64,
            self.epilogues,
            self.same,
            self.cheap,
        );
        // LLVM does not describe every step of an epilogue.
        assert!(
            self.others.len() * 200 <= self.same,
            "{}: {:#?}",
            path.display(),
            self.others
        );
    }
}

fn returns(part: &FunctionCode<'_>) -> usize {
    Decoder::with_ip(64, part.bytes, part.address, DecoderOptions::NONE)
        .into_iter()
        .filter(|instruction| instruction.flow_control() == FlowControl::Return)
        .count()
}

/// What the unwind table says of frames.
struct Frames<'a> {
    table: Option<(EhFrame<EndianSlice<'a, LittleEndian>>, BaseAddresses)>,
    /// Start, end and offset of the entry for each piece of code, ascending.
    entries: Vec<(u64, u64, EhFrameOffset)>,
}

impl<'a> Frames<'a> {
    fn of(file: &object::File<'a>) -> Self {
        let mut frames = Self {
            table: None,
            entries: Vec::new(),
        };
        let Some(section) = file.section_by_name(".eh_frame") else {
            return frames;
        };
        let table = EhFrame::new(section.data().expect("data"), LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(section.address());
        let mut entries = table.entries(&bases);
        while let Ok(Some(entry)) = entries.next() {
            if let CieOrFde::Fde(partial) = entry {
                let entry = partial.parse(EhFrame::cie_from_offset).expect("an entry");
                let start = entry.initial_address();
                let offset = EhFrameOffset(entry.offset());
                frames.entries.push((start, start + entry.len(), offset));
            }
        }
        frames.entries.sort_unstable_by_key(|entry| entry.0);
        frames.table = Some((table, bases));
        frames
    }

    /// Compares the frame of an epilogue site with the canonical frame address there, which is
    /// 8 bytes above the stack pointer at entry. `None` if there is nothing to compare.
    fn agrees(&self, site: &Site) -> Option<bool> {
        let SiteKind::Epilogue { frame, .. } = site.kind else {
            return None;
        };
        let (table, bases) = self.table.as_ref()?;
        let behind = self
            .entries
            .partition_point(|entry| entry.0 <= site.address);
        let (_, end, offset) = self.entries[behind.checked_sub(1)?];
        if site.address >= end {
            return None;
        }
        let entry = table
            .fde_from_offset(bases, offset, EhFrame::cie_from_offset)
            .expect("an entry");
        let mut context = UnwindContext::new();
        let row = entry
            .unwind_info_for_address(table, bases, &mut context, site.address)
            .expect("a row");
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else {
            return None;
        };
        match (register, frame) {
            (X86_64::RSP, Frame::StackPointer(words))
            | (X86_64::RBP, Frame::FramePointer(words)) => Some(i64::from(words) * 8 + 8 == offset),
            _ => None,
        }
    }
}
