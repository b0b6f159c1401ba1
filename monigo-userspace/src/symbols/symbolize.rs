//! From instruction addresses of processes to frames.
//!
//! Go code is looked up in its own tables, other code in DWARF and the function list, and code that a
//! process makes as it runs in its perf map. Files are held open from the moment they are first
//! seen, so that frames of a process that has ended still resolve. Large debug information is read on
//! another thread: until that is done, frames have names only.

mod background;
mod frames;
mod guard;
mod lines;
mod places;
mod shelf;

use std::{
    cell::OnceCell,
    collections::{HashMap, VecDeque},
    fs::File,
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::Arc,
};

use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Symbolized,
        source::{Elf, Kernel, Source},
    },
};

pub use self::frames::SharedFrame;
use self::{
    background::Background,
    frames::{Cache, go_frames, native_frames, unknown},
    places::{Place, Process},
    shelf::{SharedLines, Shelf},
};
use super::{Function, Image, ImageId, demangle, go, maps::ProcessMaps};
use crate::store::Frame;

/// Image of kernel frames.
pub const KERNEL: &str = "[kernel]";
/// Image of frames in code that the process made.
pub const JIT: &str = "[jit]";

/// Most processes whose address space is remembered.
const MOST_PROCESSES: usize = 1024;
/// Most files held open.
const MOST_IMAGES: usize = 256;
/// Most resolved addresses per generation of the cache.
const MOST_CACHED: usize = 1 << 16;

/// A symbolized stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolizedStack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// An address was no code, so the rest of the walk was not believed.
    pub truncated: bool,
}

type Frames = Arc<[SharedFrame]>;

/// Resolves addresses, with caches.
pub struct Symbolizer {
    blazesym: Blazesym,
    images: Vec<Option<Loaded>>,
    by_id: HashMap<ImageId, usize>,
    processes: HashMap<u32, Process>,
    /// Processes in the order in which they were first seen.
    order: VecDeque<u32>,
    cache: Cache<(usize, u64, bool)>,
    kernel: Cache<u64>,
    main: Option<Arc<Image>>,
    /// DWARF by image, of those that are not left to another thread.
    lines: HashMap<usize, Arc<SharedLines>>,
    shelf: Arc<Shelf>,
    background: Background,
    /// Index of the kernel's code in user space, once it was needed.
    vdso: OnceCell<Option<usize>>,
    /// What was resolved lately may be known better later.
    unsettled: bool,
}

/// blazesym's symbolizer, free to move between threads.
struct Blazesym(blazesym::symbolize::Symbolizer);

// SAFETY: it is not `Send` because its parts share each other through `Rc`. All of those are
// reachable only from it: no dispatch function is installed that could keep one, what its methods
// return borrows from it, and it has no thread-local state. Moving it moves every owner at once;
// it stays `!Sync`.
unsafe impl Send for Blazesym {}

/// A mapped file.
struct Loaded {
    show: Arc<str>,
    /// blazesym opens it through this descriptor, when it has no name any more, too.
    file: Option<File>,
    image: Option<Arc<Image>>,
    /// Whether its debug information is read on another thread.
    slow: OnceCell<bool>,
}

impl Loaded {
    fn is_slow(&self) -> bool {
        let slow = || self.image.as_ref().is_some_and(|image| image.is_slow());
        *self.slow.get_or_init(slow)
    }
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbolizer {
    /// A symbolizer that knows no process yet.
    pub fn new() -> Self {
        Self::with_shelf(Arc::default())
    }

    /// Another one that knows no process yet. What both need of an image is read once.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::with_shelf(Arc::clone(&self.shelf))
    }

    fn with_shelf(shelf: Arc<Shelf>) -> Self {
        Self {
            blazesym: new_blazesym(),
            images: Vec::new(),
            by_id: HashMap::new(),
            processes: HashMap::new(),
            order: VecDeque::new(),
            cache: Cache::new(),
            kernel: Cache::new(),
            main: None,
            lines: HashMap::new(),
            background: Background::new(Arc::clone(&shelf)),
            shelf,
            vdso: OnceCell::new(),
            unsettled: false,
        }
    }

    /// Whether anything that was resolved since the last call may be known better later: large
    /// debug information is still being read, or code has no name yet.
    pub fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.unsettled)
    }

    /// Takes an image that is open already, so that it is not read twice. Addresses of processes
    /// that ended before they were looked at are tried in it.
    pub fn add_image(&mut self, image: Arc<Image>) {
        self.shelf.add(&image);
        if let Ok(file) = File::open(image.open_path()) {
            let loaded = Loaded {
                show: image.path().display().to_string().into(),
                file: Some(file),
                image: Some(image.clone()),
                slow: OnceCell::new(),
            };
            self.by_id.insert(image.id(), self.images.len());
            self.images.push(Some(loaded));
        }
        self.main = Some(image);
    }

    /// Remembers a process's address space and opens its files now, while it lives. Worth calling
    /// as soon as a process is known; [`Self::stack`] does it on first need.
    pub fn remember(&mut self, pid: u32) {
        if let Some(maps) = ProcessMaps::of_living(pid) {
            self.insert_process(pid, maps);
        }
    }

    /// Forgets a process: after `exec`, or when its id is used again.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
        self.order.retain(|other| *other != pid);
    }

    /// Resolves a user stack, innermost first. The first address is that of an instruction, the
    /// others are return addresses, which belong to the call before them. Stops at the first
    /// address that is no code; a zero ends the stack.
    pub fn stack(&mut self, pid: u32, addresses: &[u64]) -> SymbolizedStack {
        let mut stack = SymbolizedStack::default();
        for (depth, address) in addresses.iter().enumerate() {
            if *address == 0 {
                break;
            }
            let Some(frames) = self.frames(pid, *address, depth > 0) else {
                stack.truncated = true;
                break;
            };
            stack.frames.extend(frames.iter().map(Frame::from));
        }
        stack
    }

    /// Frames at one user address, innermost first (inlined functions come before the one they
    /// are in). `None` if no code is there, so that the stack should end before it.
    pub fn frames(&mut self, pid: u32, address: u64, is_return: bool) -> Option<Frames> {
        // A call may be the last instruction of a function that does not return.
        let looked_up = if is_return {
            address.checked_sub(1)?
        } else {
            address
        };
        match self.place(pid, looked_up) {
            Place::Nowhere => None,
            // Code without symbols goes by the name of what it is: its addresses would only
            // scatter a flame graph.
            Place::Named(image) => Some(
                [SharedFrame {
                    function: image.into(),
                    ..unknown(&image.into(), address)
                }]
                .into(),
            ),
            Place::Jit(function) => Some(
                [SharedFrame {
                    function: function.into(),
                    ..unknown(&JIT.into(), address)
                }]
                .into(),
            ),
            Place::Code { image, vaddr } => Some(self.at(image, vaddr, is_return)),
        }
    }

    /// Where the function returns to that was interrupted at `address`, if it has no frame and its caller is missing in a
    /// walk by frame pointers that went on with `walked`; only for Go.
    pub fn skipped_caller(&mut self, pid: u32, address: u64, walked: u64) -> Option<u64> {
        let Place::Code { image, vaddr } = self.place(pid, address) else {
            return None;
        };
        // In the same image, so at the same distance.
        let bias = address.wrapping_sub(vaddr);
        let loaded = self.images.get(image)?.as_ref()?.image.as_ref()?;
        let found = go::skipped_caller(loaded, vaddr, walked.wrapping_sub(bias))?;
        Some(found.wrapping_add(bias))
    }

    /// The frame at a kernel address.
    pub fn kernel(&mut self, address: u64) -> Frame {
        let stored = |frame: &SharedFrame| Frame {
            kernel: true,
            ..Frame::from(frame)
        };
        if let Some(frame) = self.kernel.get(address).as_deref().and_then(<[_]>::first) {
            return stored(frame);
        }
        // A vmlinux file with debug information takes seconds and gigabytes; names suffice.
        let source = Source::Kernel(Kernel {
            vmlinux: MaybeDefault::None,
            debug_syms: false,
            ..Kernel::default()
        });
        let mut frame = unknown(&KERNEL.into(), address);
        let found = &self.blazesym.0;
        if let Ok(Symbolized::Sym(sym)) = found.symbolize_single(&source, Input::AbsAddr(address)) {
            frame.function = sym.name.into();
        }
        let kernel = stored(&frame);
        self.kernel.insert(address, [frame].into());
        kernel
    }

    /// Source file and line where a function begins.
    pub fn source_of(
        &mut self,
        image: &Arc<Image>,
        function: &Function,
    ) -> Option<(String, Option<u32>)> {
        let entry = function.entry()?;
        let at = match self.by_id.get(&image.id()) {
            Some(at) => *at,
            None => self.open(
                image.id(),
                image.open_path(),
                image.path().display().to_string(),
                Some(image.clone()),
            )?,
        };
        let frames = self.at(at, entry, false);
        let outermost = frames.last()?;
        Some((outermost.file.as_deref()?.to_owned(), outermost.line))
    }

    /// Frames at a vaddr of an image. `is_return`: `vaddr` is inside a call, and the return
    /// address behind it is what is shown.
    fn at(&mut self, at: usize, vaddr: u64, is_return: bool) -> Frames {
        let key = (at, vaddr, is_return);
        if let Some(frames) = self.cache.get(key) {
            return frames;
        }
        let shown = vaddr + u64::from(is_return);
        let (frames, settled) = self.resolve(at, vaddr, shown);
        let frames: Frames = frames.into();
        if settled {
            self.cache.insert(key, frames.clone());
        } else {
            self.unsettled = true;
        }
        frames
    }

    /// Frames at a vaddr, and whether they are all that will ever be known.
    fn resolve(&mut self, at: usize, vaddr: u64, shown: u64) -> (Vec<SharedFrame>, bool) {
        let Some(loaded) = self.images.get(at).and_then(Option::as_ref) else {
            return (vec![unknown(&"[unreadable]".into(), shown)], true);
        };
        let frame = |function: Arc<str>| SharedFrame {
            function,
            image: Arc::clone(&loaded.show),
            address: shown,
            file: None,
            line: None,
            inlined: false,
        };
        let Some(image) = &loaded.image else {
            return (vec![self.nameless(loaded, vaddr, shown, &frame)], true);
        };
        if let Some(table) = image.go_table() {
            let found = go::frames(image, table, vaddr);
            if !found.is_empty() {
                return (go_frames(image, found, vaddr, &frame), true);
            }
        }
        let found = if loaded.is_slow() {
            self.background.ask(image, vaddr)
        } else {
            let lines = self.lines.entry(at);
            Some(lines.or_insert_with(|| self.shelf.lines(image)).at(vaddr))
        };
        let settled = found.is_some();
        let frames = native_frames(found.unwrap_or_default(), &frame);
        if !frames.is_empty() {
            return (frames, settled);
        }
        // Reading the functions of such an image takes too long here.
        let known = image.is_indexed() || !loaded.is_slow();
        if let Some(own) = known.then(|| image.function_at(vaddr)).flatten() {
            return (vec![frame(Arc::clone(own.shared_name()))], settled);
        }
        let frame = match image.plt_name(vaddr) {
            Some(stub) => frame(format!("{stub}@plt").into()),
            None => self.nameless(loaded, vaddr, shown, &frame),
        };
        (vec![frame], settled)
    }

    /// A frame where neither DWARF nor a symbol with a size says what it is: the nearest symbol
    /// before it, if there is one.
    fn nameless(
        &self,
        loaded: &Loaded,
        vaddr: u64,
        shown: u64,
        frame: &impl Fn(Arc<str>) -> SharedFrame,
    ) -> SharedFrame {
        let image = loaded.image.as_deref();
        let readable = image.is_none_or(Image::is_decompressible);
        let file = loaded.file.as_ref().filter(|_| readable);
        let symbolized = file.and_then(|file| {
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            // With debug information it would open whatever the file names as its debug file.
            let mut elf = Elf::new(path);
            elf.debug_syms = false;
            let source = Source::Elf(elf);
            let input = Input::VirtOffset(vaddr);
            guard::survive(|| self.blazesym.0.symbolize_single(&source, input))
        });
        match symbolized {
            Some(Ok(Symbolized::Sym(sym))) => frame(demangle::full(&sym.name).into()),
            _ => unknown(&loaded.show, shown),
        }
    }
}

fn new_blazesym() -> Blazesym {
    // Files are held open, so they cannot change under their descriptors; demangling is done here,
    // in one way for everything, and so is DWARF.
    let builder = blazesym::symbolize::Symbolizer::builder()
        .enable_auto_reload(false)
        .enable_code_info(false)
        .enable_inlined_fns(false)
        .enable_demangling(false);
    Blazesym(builder.build())
}

#[cfg(test)]
mod tests;
