//! What an image has beyond its own file: a debug file, and a function list kept from before.

use std::path::Path;

use object::{LittleEndian, Object as _, ObjectSection as _, read::elf::ElfFile64};

use super::{
    super::{
        cache::Origin,
        debug::{self, DebugFile},
        elf::{self, FunctionIndex},
    },
    Image, Section,
};

impl Image {
    /// Its separate debug file, looked for when it is first asked for; only images that lack
    /// symbols or DWARF have one.
    pub(in super::super) fn debug_file(&self) -> Option<&DebugFile> {
        self.debug().file.as_ref()
    }

    /// Path of the separate debug file that its symbols come from.
    pub fn debug_path(&self) -> Option<&Path> {
        self.debug_file().map(DebugFile::path)
    }

    /// Why debug files that were found for it are not used; sentences.
    pub fn debug_remarks(&self) -> &[String] {
        &self.debug().remarks
    }

    fn debug(&self) -> &debug::Found {
        self.debug.get_or_init(|| {
            // Go programs carry their own tables, stripped or not.
            let complete = self.has_symtab && self.has_dwarf();
            if complete || self.go_table().is_some() {
                return debug::Found::default();
            }
            debug::search(self, &self.sources)
        })
    }

    /// Whether reading its symbols or DWARF takes so long that nobody should wait for it: there is
    /// much of it, or it has to be fetched first.
    pub fn is_slow(&self) -> bool {
        /// Read in some 100 ms.
        const LARGE_BYTES: u64 = 24 << 20;
        if !self.has_dwarf() && self.sources.remote.is_some() && self.debug.get().is_none() {
            return self.go_table().is_none();
        }
        let size = |section: &Section| section.size;
        let own = self.section(".debug_info").map_or(0, size);
        let elf = || self.debug_file()?.elf();
        let separate = || {
            let elf = elf()?;
            Some(elf.section_by_name(".debug_info")?.size())
        };
        own.max(separate().unwrap_or(0)) > LARGE_BYTES
    }

    /// Whether its functions have been read.
    pub(in super::super) fn is_indexed(&self) -> bool {
        self.index.get().is_some()
    }

    fn has_dwarf(&self) -> bool {
        let names = [".debug_info", ".zdebug_info"];
        names
            .iter()
            .any(|name| self.section(name).is_some_and(|section| !section.empty))
    }

    /// The files with its DWARF: its own, or that of its debug file and what dwz moved out of
    /// that. `None` if there is no DWARF, or if it is too damaged to be decompressed.
    pub(in super::super) fn dwarf_files(
        &self,
    ) -> Option<(ElfFile64<'_, LittleEndian>, Option<&DebugFile>)> {
        if self.has_dwarf() {
            return self
                .decompressible
                .then(|| self.elf())
                .flatten()
                .map(|elf| (elf, None));
        }
        let file = self.debug_file()?;
        Some((file.elf()?, file.supplement()))
    }

    /// Every function: as kept from before, or read.
    pub(super) fn read_index(&self) -> FunctionIndex {
        let (Some(cache), Some(origin)) = (&self.sources.cache, self.origin()) else {
            return elf::index(self);
        };
        if let Some((functions, from_debug_file)) = cache.load(&origin, self.needed()) {
            return FunctionIndex::new(functions, from_debug_file);
        }
        let index = elf::index(self);
        cache.save(&origin, &index.functions, index.from_debug_file);
        index
    }

    /// What its functions are read from, if that takes long enough to be kept.
    fn origin(&self) -> Option<Origin> {
        /// Symbols of such a file are read in some 50 ms.
        const LARGE_BYTES: u64 = 32 << 20;
        let mut stamps = self.stamps?.to_vec();
        let debug = self.debug_file();
        let size = debug.map_or(0, DebugFile::size_bytes) + self.data.len() as u64;
        if size < LARGE_BYTES || self.go_table().is_some() {
            return None;
        }
        stamps.extend(debug.map(DebugFile::stamps).into_iter().flatten());
        let build_id = self.build_id.clone()?;
        Some(Origin { build_id, stamps })
    }
}
