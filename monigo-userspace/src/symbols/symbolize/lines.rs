//! Functions, inlined ones too, and source lines at an address, from DWARF.
//!
//! This reads what an image or its debug file holds in memory, and opens nothing. blazesym would
//! follow the links in the file by itself, to whatever a hostile image names.

use std::{borrow::Cow, sync::Arc};

use addr2line::Context;
use gimli::{Dwarf, DwarfSections, EndianSlice, LittleEndian};

use super::{
    super::{
        Image,
        debug::DebugFile,
        dwarf::{Reader, sections},
    },
    guard,
};

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As in DWARF: the linkage name, if there is one.
    pub name: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

type Sections = DwarfSections<Cow<'static, [u8]>>;

/// DWARF of an image, read as far as it was asked for.
pub(super) struct Lines {
    // Declared before what they borrow from, and so dropped before it.
    context: Context<Reader<'static>>,
    _sections: Box<(Sections, Option<Sections>)>,
    _image: Arc<Image>,
}

impl Lines {
    /// `None` if there is no DWARF.
    pub(super) fn of(image: Arc<Image>) -> Option<Self> {
        // SAFETY: the image is behind an `Arc` that is kept as long as what borrows from it, and
        // nothing changes it: its file stays mapped, and its debug file, once found, in place.
        let kept: &'static Image = unsafe { &*Arc::as_ptr(&image) };
        let (file, supplement) = kept.dwarf_files()?;
        let wanted = |_| true;
        let own = sections(&file, &wanted)?;
        let moved = supplement
            .and_then(DebugFile::elf)
            .and_then(|file| sections(&file, &wanted));
        let owned = Box::new((own, moved));
        let place: *const (Sections, Option<Sections>) = &raw const *owned;
        // SAFETY: the box is kept as long as what borrows from it, and is not written to.
        let borrowed: &'static (Sections, Option<Sections>) = unsafe { &*place };
        let slice = |section: &'static Cow<'static, [u8]>| EndianSlice::new(section, LittleEndian);
        let mut dwarf: Dwarf<Reader<'static>> = borrowed.0.borrow(slice);
        if let Some(moved) = &borrowed.1 {
            dwarf.set_sup(moved.borrow(slice));
        }
        let context = guard::survive(|| Context::from_dwarf(dwarf))?.ok()?;
        Some(Self {
            context,
            _sections: owned,
            _image: image,
        })
    }

    /// Functions at `vaddr`, innermost first; none where DWARF says nothing, or nonsense.
    pub(super) fn at(&self, vaddr: u64) -> Vec<Entry> {
        // What was read in part only is not kept by the reader, so it can be asked again.
        guard::survive(|| self.entries(vaddr)).unwrap_or_default()
    }

    fn entries(&self, vaddr: u64) -> Vec<Entry> {
        /// No compiler inlines that deep; damaged data could.
        const DEEPEST: usize = 256;
        let Ok(mut frames) = self.context.find_frames(vaddr).skip_all_loads() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let name = frame
                .function
                .as_ref()
                .and_then(|function| function.raw_name().ok());
            let place = frame.location.as_ref();
            found.push(Entry {
                name: name.map(Cow::into_owned).filter(|name| !name.is_empty()),
                file: place.and_then(|place| place.file).map(str::to_owned),
                line: place.and_then(|place| place.line).filter(|line| *line > 0),
            });
            if found.len() == DEEPEST {
                break;
            }
        }
        found
    }
}
