//! An executable image: opened once, then only read.

mod header;
mod places;
mod separate;

use std::{
    collections::HashMap,
    fs::{self, File},
    ops::Range,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use memmap2::Mmap;
use object::{LittleEndian, read::elf::ElfFile64};

use self::header::check_header;
pub(super) use self::places::Section;
pub use self::{header::Machine, places::Segment};
use super::{
    Function, GoInfo, ImageError, Language,
    cache::stamps,
    debug::{self, Sources},
    dwarf::{self, InlinedFunctions},
    elf::{self, FunctionIndex, Plt},
    go::{self, GoTable},
};

/// Which file an image is, whatever path leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId {
    /// Device number, as `stat` gives it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl ImageId {
    /// Identity of what `path` leads to, links followed.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&fs::Metadata> for ImageId {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// How an image is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// Runs at the addresses it is linked for.
    Executable,
    /// Runs anywhere.
    PieExecutable,
    /// Loaded into other programs.
    SharedLibrary,
}

/// An ELF executable or shared library. Cheap to open: symbols, PLT and DWARF are read when first
/// asked for, once.
pub struct Image {
    path: PathBuf,
    open_path: PathBuf,
    id: ImageId,
    data: Mmap,
    machine: Machine,
    build_id: Option<String>,
    kind: ImageKind,
    dynamic: elf::Dynamic,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    has_symtab: bool,
    decompressible: bool,
    go: Option<(GoInfo, Option<GoTable>)>,
    language: OnceLock<Language>,
    index: OnceLock<FunctionIndex>,
    plt: OnceLock<Plt>,
    inlined: OnceLock<InlinedFunctions>,
    relocations: OnceLock<HashMap<u64, u64>>,
    /// State of the file, if it is one.
    stamps: Option<[u64; 6]>,
    sources: Arc<Sources>,
    debug: OnceLock<debug::Found>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("path", &self.path)
            .field("build_id", &self.build_id)
            .finish_non_exhaustive()
    }
}

impl Image {
    /// Opens an executable or shared library of this host's machine.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImageError> {
        let path = path.as_ref();
        Self::open_as(path, path)
    }

    /// Opens `open_path`, which may go through `/proc`, and shows it to the user as `show_path`.
    pub fn open_as(open_path: &Path, show_path: &Path) -> Result<Self, ImageError> {
        Self::open_file(open_path, show_path, &[Machine::HOST])
    }

    /// The same of any machine whose code monigo reads: what it does not run here can still be
    /// looked at.
    pub fn open_to_read(open_path: &Path, show_path: &Path) -> Result<Self, ImageError> {
        Self::open_file(open_path, show_path, &[Machine::X86_64, Machine::Arm64])
    }

    fn open_file(
        open_path: &Path,
        show_path: &Path,
        accepted: &[Machine],
    ) -> Result<Self, ImageError> {
        let io_error = |source| ImageError::io(show_path, source);
        let metadata = fs::metadata(open_path).map_err(io_error)?;
        let path = || show_path.to_path_buf();
        if metadata.is_dir() {
            return Err(ImageError::Directory { path: path() });
        }
        let kind = metadata.file_type();
        // Opening a pipe would wait for its other end.
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            return Err(ImageError::NotRegular { path: path() });
        }
        let file = File::open(open_path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        if metadata.len() == 0 {
            return Err(ImageError::Empty { path: path() });
        }
        // SAFETY: the mapping is private and read-only. The kernel refuses writes to a program
        // that runs; tools that replace one write a new file. Whoever truncates a mapped file in
        // place can still end monigo with SIGBUS, which only happens with write access to it.
        let data = unsafe { Mmap::map(&file) }.map_err(io_error)?;
        let machine = check_header(&data, show_path)?;
        if !accepted.contains(&machine) {
            return Err(ImageError::Architecture {
                path: path(),
                found: machine.name().to_owned(),
                host: Machine::HOST.name(),
                hint: "; `monigo list` shows what could be probed in it",
            });
        }
        let id = ImageId::from(&metadata);
        let mut image = Self::parse(data, machine, open_path, show_path, id)?;
        image.stamps = Some(stamps(&metadata));
        Ok(image)
    }

    /// An image that is no file.
    pub(super) fn of_memory(data: Mmap, show_path: &Path) -> Result<Self, ImageError> {
        // No file has this identity.
        let id = ImageId {
            device: 0,
            inode: 0,
        };
        Self::parse(data, Machine::HOST, show_path, show_path, id)
    }

    fn parse(
        data: Mmap,
        machine: Machine,
        open_path: &Path,
        show_path: &Path,
        id: ImageId,
    ) -> Result<Self, ImageError> {
        let malformed = |error: object::read::Error| ImageError::Malformed {
            path: show_path.to_path_buf(),
            reason: error.to_string(),
        };
        let file = ElfFile64::<LittleEndian>::parse(&*data).map_err(malformed)?;
        let header = elf::Header::read(&file);
        drop(file);
        if header.segments.is_empty() {
            return Err(ImageError::Malformed {
                path: show_path.to_path_buf(),
                reason: "it has no loadable segment".to_owned(),
            });
        }
        let mut image = Self {
            path: show_path.to_path_buf(),
            open_path: open_path.to_path_buf(),
            id,
            data,
            machine,
            build_id: header.build_id,
            kind: header.kind,
            dynamic: header.dynamic,
            segments: header.segments,
            sections: header.sections,
            has_symtab: header.has_symtab,
            decompressible: header.decompressible,
            go: None,
            language: OnceLock::new(),
            index: OnceLock::new(),
            plt: OnceLock::new(),
            inlined: OnceLock::new(),
            relocations: OnceLock::new(),
            stamps: None,
            sources: Sources::current(),
            debug: OnceLock::new(),
        };
        image.go = go::read(&image);
        Ok(image)
    }

    /// The path as shown to the user.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path that was opened; may go through `/proc`.
    pub fn open_path(&self) -> &Path {
        &self.open_path
    }

    /// Which file it is.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// What its code runs on.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// GNU build id in lower-case hex.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// How it is loaded.
    pub fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Whether it is an executable that runs at any address.
    pub fn is_pie(&self) -> bool {
        self.kind == ImageKind::PieExecutable
    }

    /// `DT_NEEDED`: names of the libraries it is linked to.
    pub fn needed(&self) -> &[String] {
        &self.dynamic.needed
    }

    /// `DT_SONAME`: the name that others need a library by.
    pub fn soname(&self) -> Option<&str> {
        self.dynamic.soname.as_deref()
    }

    /// Search paths for its libraries, before and behind the environment's.
    pub(super) fn run_paths(&self) -> (&str, &str) {
        (&self.dynamic.path_before, &self.dynamic.path_after)
    }

    /// Whether it carries a full symbol table, in itself or in a separate debug file.
    pub fn has_symtab(&self) -> bool {
        self.has_symtab || self.index().from_debug_file
    }

    /// Whether other readers may be given this file: they take the sizes of compressed sections at
    /// their word.
    pub(super) fn is_decompressible(&self) -> bool {
        self.decompressible
    }

    /// The loadable segments, by address.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What the Go tool chain left, for Go programs.
    pub fn go(&self) -> Option<&GoInfo> {
        self.go.as_ref().map(|(info, _)| info)
    }

    pub(super) fn go_table(&self) -> Option<&GoTable> {
        self.go.as_ref().and_then(|(_, table)| table.as_ref())
    }

    /// Language family that most of its code is of.
    pub fn language(&self) -> Language {
        *self.language.get_or_init(|| elf::language(self))
    }

    /// Every function, in order of entry address; those without one (imported) come last.
    pub fn functions(&self) -> &[Function] {
        &self.index().functions
    }

    pub(super) fn index(&self) -> &FunctionIndex {
        self.index.get_or_init(|| self.read_index())
    }

    /// The function with code at `vaddr`.
    pub fn function_at(&self, vaddr: u64) -> Option<&Function> {
        self.index().function_at(vaddr)
    }

    /// Address ranges of the procedure linkage table: stubs that jump to other images.
    pub fn plt_ranges(&self) -> &[Range<u64>] {
        &self.plt().ranges
    }

    /// Name of the function that the PLT stub at `vaddr` jumps to.
    pub fn plt_name(&self, vaddr: u64) -> Option<&str> {
        self.plt().name(vaddr)
    }

    fn plt(&self) -> &Plt {
        self.plt.get_or_init(|| elf::plt(self))
    }

    /// Functions that were inlined, from DWARF or the Go tables. Reading DWARF takes time in
    /// proportion to its size, so nothing but a question about inlining should ask.
    pub fn inlined(&self) -> &InlinedFunctions {
        self.inlined.get_or_init(|| match self.go_table() {
            Some(table) => go::inlined(self, table),
            None => dwarf::inlined(self),
        })
    }

    /// Number of distinct functions that the function with this name was inlined into, besides
    /// its own code. Those calls are invisible to a probe on it.
    pub fn inlined_into(&self, function: &Function) -> usize {
        let names = function.linkage_names();
        self.names_inlined_into(names.chain(std::iter::once(function.name())))
    }

    /// As [`Self::inlined_into`], of a function with these names.
    pub fn names_inlined_into<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> usize {
        let inlined = self.inlined();
        let callers = names.into_iter().map(|name| inlined.callers(name));
        callers.max().unwrap_or(0)
    }

    /// Functions without any code of their own, because every call was inlined.
    pub fn only_inlined(&self) -> Vec<Function> {
        self.inlined().only_inlined(self)
    }

    /// Unwind tables and their ELF virtual address.
    pub fn eh_frame(&self) -> Option<(&[u8], u64)> {
        let section = self.section(".eh_frame")?;
        Some((self.section_bytes(section)?, section.vaddr))
    }

    /// The whole file.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(crate) fn elf(&self) -> Option<ElfFile64<'_, LittleEndian>> {
        ElfFile64::parse(&*self.data).ok()
    }

    /// Relative relocations: address to value.
    pub(super) fn relocations(&self) -> &HashMap<u64, u64> {
        self.relocations
            .get_or_init(|| elf::relative_relocations(self))
    }
}
