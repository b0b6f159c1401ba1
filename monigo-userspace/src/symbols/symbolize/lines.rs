//! Functions, inlined ones too, and source lines at an address, from DWARF.
//!
//! This reads what an image or its debug file holds in memory, and opens nothing. blazesym would
//! follow the links in the file by itself, to whatever a hostile image names.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use addr2line::Context;
use gimli::{Dwarf, DwarfSections, EndianSlice, LittleEndian};

use super::{
    super::{
        Function, Image,
        debug::DebugFile,
        demangle,
        dwarf::{Reader, sections},
    },
    guard,
};

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As shown.
    pub name: Option<Arc<str>>,
    pub file: Option<Arc<str>>,
    pub line: Option<u32>,
}

/// Texts as they are shown, by the address where they lie: sections and rendered paths stay in place.
#[derive(Default)]
struct Texts(HashMap<usize, Arc<str>>);

impl Texts {
    /// Most that are kept.
    const MOST: usize = 1 << 16;

    fn shown(&mut self, text: &[u8], show: impl FnOnce() -> String) -> Arc<str> {
        let Self(known) = self;
        if known.len() >= Self::MOST {
            known.clear();
        }
        let known = known.entry(text.as_ptr().addr());
        Arc::clone(known.or_insert_with(|| show().into()))
    }
}

type Sections = DwarfSections<Cow<'static, [u8]>>;

/// DWARF of an image, read as far as it was asked for.
pub(super) struct Lines {
    // Declared before what they borrow from, and so dropped before it.
    context: Context<Reader<'static>>,
    _sections: Box<(Sections, Option<Sections>)>,
    image: Arc<Image>,
    /// Demangling takes as long as all the rest of looking an address up, and the same few functions are inlined
    /// everywhere.
    names: Texts,
    paths: Texts,
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
            image,
            names: Texts::default(),
            paths: Texts::default(),
        })
    }

    /// Functions at `vaddr`, innermost first; none where DWARF says nothing, or nonsense. The outermost goes by its
    /// name in the function list.
    pub(super) fn at(&mut self, vaddr: u64) -> Vec<Entry> {
        let own = self
            .image
            .function_at(vaddr)
            .map(Function::shared_name)
            .cloned();
        // What was read in part only is not kept by the reader, so it can be asked again.
        guard::survive(|| self.entries(vaddr, own.as_ref())).unwrap_or_default()
    }

    fn entries(&mut self, vaddr: u64, own: Option<&Arc<str>>) -> Vec<Entry> {
        /// No compiler inlines that deep; damaged data could.
        const DEEPEST: usize = 256;
        let Ok(mut frames) = self.context.find_frames(vaddr).skip_all_loads() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut next = frames.next().ok().flatten();
        while let Some(frame) = next.filter(|_| found.len() < DEEPEST) {
            next = frames.next().ok().flatten();
            let outermost = next.is_none() || found.len() + 1 == DEEPEST;
            let linkage_name = frame.function.map(|function| function.name.slice());
            let linkage_name = linkage_name.filter(|name| !name.is_empty());
            let (file, line) = frame
                .location
                .map_or((None, None), |place| (place.file, place.line));
            found.push(Entry {
                name: own.filter(|_| outermost).cloned().or_else(|| {
                    let name = linkage_name?;
                    let show = || demangle::full(&String::from_utf8_lossy(name));
                    Some(self.names.shown(name, show))
                }),
                file: file.map(|file| self.paths.shown(file.as_bytes(), || file.to_owned())),
                line: line.filter(|line| *line > 0),
            });
        }
        found
    }
}
