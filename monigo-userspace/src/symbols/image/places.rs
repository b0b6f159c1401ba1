//! Where an image's bytes are: by address, by section, in the file.

use std::ops::Range;

use super::Image;

/// A `PT_LOAD` segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// ELF virtual addresses that have bytes in the file.
    pub vaddr: Range<u64>,
    /// Where they begin in the file.
    pub file_offset: u64,
    /// Whether code can run there.
    pub executable: bool,
}

/// A section header, reduced to what is asked of it.
#[derive(Clone, Debug)]
pub(in crate::symbols) struct Section {
    pub name: String,
    pub vaddr: u64,
    pub file_offset: u64,
    pub size: u64,
    /// Has no bytes in the file.
    pub empty: bool,
}

impl Image {
    /// Bytes of a vaddr range that lies within one executable segment.
    pub fn code(&self, range: Range<u64>) -> Option<&[u8]> {
        let segment = self.segment_of(range.start)?;
        if !segment.executable || range.end < range.start {
            return None;
        }
        self.segment_bytes(segment, range)
    }

    /// Bytes of a vaddr range that lies within one segment, executable or not.
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let segment = self.segment_of(range.start)?;
        self.segment_bytes(segment, range)
    }

    /// Bytes from `vaddr` to the end of its segment.
    pub(in crate::symbols) fn bytes_from(&self, vaddr: u64) -> Option<&[u8]> {
        let segment = self.segment_of(vaddr)?;
        self.segment_bytes(segment, vaddr..segment.vaddr.end)
    }

    fn segment_bytes(&self, segment: &Segment, range: Range<u64>) -> Option<&[u8]> {
        if range.end > segment.vaddr.end || range.end < range.start {
            return None;
        }
        let start = segment
            .file_offset
            .checked_add(range.start - segment.vaddr.start)?;
        let start = usize::try_from(start).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        self.data.get(start..start.checked_add(length)?)
    }

    fn segment_of(&self, vaddr: u64) -> Option<&Segment> {
        self.segments
            .iter()
            .find(|segment| segment.vaddr.contains(&vaddr))
    }

    /// Where in the file the byte at `vaddr` is.
    pub fn file_offset(&self, vaddr: u64) -> Option<u64> {
        let segment = self.segment_of(vaddr)?;
        segment.file_offset.checked_add(vaddr - segment.vaddr.start)
    }

    /// Address of the byte at `offset` in the file; where segments overlap, the executable one's.
    pub fn vaddr_of_offset(&self, offset: u64) -> Option<u64> {
        let vaddr = |segment: &Segment| {
            let within = offset.checked_sub(segment.file_offset)?;
            let vaddr = segment.vaddr.start.checked_add(within)?;
            segment.vaddr.contains(&vaddr).then_some(vaddr)
        };
        let of = |executable| {
            let segments = self.segments.iter();
            segments.filter(move |segment| segment.executable == executable)
        };
        of(true).chain(of(false)).find_map(vaddr)
    }

    /// Whether `vaddr` is in an executable segment.
    pub fn is_code(&self, vaddr: u64) -> bool {
        self.segment_of(vaddr)
            .is_some_and(|segment| segment.executable)
    }

    pub(in crate::symbols) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(in crate::symbols) fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(in crate::symbols) fn section_bytes(&self, section: &Section) -> Option<&[u8]> {
        if section.empty {
            return None;
        }
        let start = usize::try_from(section.file_offset).ok()?;
        let length = usize::try_from(section.size).ok()?;
        self.data.get(start..start.checked_add(length)?)
    }

    /// The word that the dynamic linker leaves at `vaddr` when the image is loaded at zero.
    pub(in crate::symbols) fn relocated_word(&self, vaddr: u64) -> Option<u64> {
        if let Some(value) = self.relocations().get(&vaddr) {
            return Some(*value);
        }
        let bytes = self.bytes(vaddr..vaddr.checked_add(8)?)?;
        super::super::bytes::u64_at(bytes, 0)
    }
}
