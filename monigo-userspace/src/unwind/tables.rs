//! Unwind tables of one image.

use std::{
    fs::File,
    ops::{Deref, Range},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use framehop::{ExplicitModuleSectionInfo, Module};
use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindContext, UnwindSection as _};
use object::{
    LittleEndian as ElfEndian, elf as abi,
    read::elf::{ElfFile64, ProgramHeader as _, SectionHeader as _},
};

use super::row::Row;
use crate::symbols::{
    Image,
    maps::{Backing, ProcessMaps},
};

/// Bytes of an image that live as long as someone uses them.
#[derive(Clone)]
pub(super) struct Bytes {
    source: Source,
    range: Range<usize>,
}

#[derive(Clone)]
enum Source {
    File(Arc<Image>),
    Memory(Arc<[u8]>),
}

impl Deref for Source {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(image) => image.data(),
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.source.get(self.range.clone()).unwrap_or_default()
    }
}

/// A section: its ELF virtual addresses and its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    vaddr: Range<u64>,
    file: Range<usize>,
}

impl Part {
    fn new(vaddr: u64, offset: u64, size: u64) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        Some(Self {
            vaddr: vaddr..vaddr.checked_add(size)?,
            file: start..start.checked_add(usize::try_from(size).ok()?)?,
        })
    }
}

/// A loaded piece of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    vaddr: u64,
    offset: u64,
    size: u64,
    executable: bool,
}

/// Where an image has what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layout {
    pieces: Vec<Piece>,
    text: Option<Part>,
    got: Option<Part>,
    eh_frame: Option<Part>,
    eh_frame_hdr: Option<Part>,
    debug_frame: Option<Part>,
}

impl Layout {
    fn of(file: &ElfFile64<'_, ElfEndian>) -> Self {
        let mut layout = Self::default();
        for header in file.elf_program_headers() {
            let (offset, size) = header.file_range(ElfEndian);
            let vaddr = header.p_vaddr(ElfEndian);
            match header.p_type(ElfEndian) {
                abi::PT_LOAD => layout.pieces.push(Piece {
                    vaddr,
                    offset,
                    size,
                    executable: header.p_flags(ElfEndian).contains(abi::PF_X),
                }),
                // Stands in where the sections are stripped.
                abi::PT_GNU_EH_FRAME => layout.eh_frame_hdr = Part::new(vaddr, offset, size),
                _ => {}
            }
        }
        let table = file.elf_section_table();
        for section in table.iter() {
            let compressed = section.sh_flags(ElfEndian).contains(abi::SHF_COMPRESSED);
            if section.sh_type(ElfEndian) == abi::SHT_NOBITS || compressed {
                continue;
            }
            let part = Part::new(
                section.sh_addr(ElfEndian),
                section.sh_offset(ElfEndian),
                section.sh_size(ElfEndian),
            );
            match table.section_name(ElfEndian, section).unwrap_or_default() {
                b".text" => layout.text = part,
                b".got" => layout.got = part,
                b".eh_frame" => layout.eh_frame = part,
                b".eh_frame_hdr" => layout.eh_frame_hdr = part,
                b".debug_frame" => layout.debug_frame = part,
                _ => {}
            }
        }
        layout
    }

    /// Lowest ELF virtual address.
    fn base(&self) -> u64 {
        let starts = self.pieces.iter().map(|piece| piece.vaddr & !0xfff);
        starts.min().unwrap_or(0)
    }

    /// What is to be added to ELF virtual addresses where the bytes of the file from `offset` on
    /// are mapped as code at `start`.
    fn bias(&self, start: u64, offset: u64, length: u64) -> Option<u64> {
        let mapped = offset..offset.checked_add(length)?;
        let piece = self.pieces.iter().find(|piece| {
            piece.executable
                && piece.offset < mapped.end
                && mapped.start < piece.offset.saturating_add(piece.size)
        })?;
        let vaddr = piece.vaddr.wrapping_add(offset.wrapping_sub(piece.offset));
        Some(start.wrapping_sub(vaddr))
    }
}

/// The unwind tables of an image.
pub(super) struct Tables {
    source: Source,
    layout: Layout,
}

impl Tables {
    /// Those of a file.
    pub fn of_file(open_path: &Path, show_path: &Path) -> Option<Self> {
        let image = Arc::new(Image::open_as(open_path, show_path).ok()?);
        let layout = Layout::of(&image.elf()?);
        Some(Self {
            source: Source::File(image),
            layout,
        })
    }

    /// Those of the code that the kernel maps into every process.
    pub fn of_vdso() -> Option<Self> {
        let maps = ProcessMaps::read(std::process::id()).ok()?;
        let mapping = maps
            .all()
            .find(|mapping| mapping.backing == Backing::Vdso)?;
        let length = usize::try_from(mapping.range.end - mapping.range.start).ok()?;
        let mut bytes = vec![0; length];
        let memory = File::open("/proc/self/mem").ok()?;
        memory.read_exact_at(&mut bytes, mapping.range.start).ok()?;
        let layout = Layout::of(&ElfFile64::parse(&*bytes).ok()?);
        Some(Self {
            source: Source::Memory(bytes.into()),
            layout,
        })
    }

    /// Whether there are any.
    pub fn exist(&self) -> bool {
        self.layout.eh_frame.is_some() || self.layout.debug_frame.is_some()
    }

    /// The image as mapped: the file from `offset` on as code at `range`.
    pub fn module(&self, name: String, range: Range<u64>, offset: u64) -> Option<Module<Bytes>> {
        let layout = &self.layout;
        let bias = layout.bias(range.start, offset, range.end - range.start)?;
        let vaddr = |part: &Option<Part>| part.as_ref().map(|part| part.vaddr.clone());
        let bytes = |part: &Option<Part>| part.as_ref().map(|part| self.bytes(part));
        let sections = ExplicitModuleSectionInfo {
            base_svma: layout.base(),
            text_svma: vaddr(&layout.text),
            got_svma: vaddr(&layout.got),
            eh_frame_svma: vaddr(&layout.eh_frame),
            eh_frame: bytes(&layout.eh_frame),
            eh_frame_hdr_svma: vaddr(&layout.eh_frame_hdr),
            eh_frame_hdr: bytes(&layout.eh_frame_hdr),
            debug_frame: bytes(&layout.debug_frame),
            // The rest is for other systems.
            text: None,
            stubs_svma: None,
            stub_helper_svma: None,
            unwind_info: None,
            text_segment_svma: None,
            text_segment: None,
        };
        let base = bias.wrapping_add(layout.base());
        Some(Module::new(name, range, base, sections))
    }

    fn bytes(&self, part: &Part) -> Bytes {
        Bytes {
            source: self.source.clone(),
            range: part.file.clone(),
        }
    }

    /// Calls `visit` with what the tables say of the instruction at `address`, where the image is
    /// mapped as above; `None` if they say nothing, or have no index.
    pub(super) fn row<T>(
        &self,
        address: u64,
        range: &Range<u64>,
        offset: u64,
        visit: impl FnOnce(&Row<'_, '_>) -> T,
    ) -> Option<T> {
        let layout = &self.layout;
        let (index, frames) = (layout.eh_frame_hdr.as_ref()?, layout.eh_frame.as_ref()?);
        let bias = layout.bias(range.start, offset, range.end - range.start)?;
        let start = |part: &Option<Part>| part.as_ref().map_or(0, |part| part.vaddr.start);
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(index.vaddr.start)
            .set_eh_frame(frames.vaddr.start)
            .set_text(start(&layout.text))
            .set_got(start(&layout.got));
        let index = self.bytes(index);
        let header = EhFrameHdr::new(&index, LittleEndian);
        let frames = self.bytes(frames);
        let frames = EhFrame::new(&frames, LittleEndian);
        let header = header.parse(&bases, 8).ok()?;
        let table = header.table()?;
        let vaddr = address.wrapping_sub(bias);
        let found = table.fde_for_address(&frames, &bases, vaddr, EhFrame::cie_from_offset);
        let description = found.ok()?;
        let mut context = UnwindContext::new();
        let rules = description
            .unwind_info_for_address(&frames, &bases, &mut context, vaddr)
            .ok()?;
        Some(visit(&Row {
            rules,
            frames: &frames,
            encoding: description.cie().encoding(),
            signal: description.is_signal_trampoline(),
        }))
    }

    /// Whether the tables describe the instruction at `address`, where the image is mapped as
    /// above. Images without an index are believed to be described in full.
    pub fn describe(&self, address: u64, range: &Range<u64>, offset: u64) -> bool {
        let indexed = self.layout.eh_frame_hdr.is_some() && self.layout.eh_frame.is_some();
        if !indexed {
            return self.exist();
        }
        self.row(address, range, offset, |_| ()).is_some()
    }
}
