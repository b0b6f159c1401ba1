//! Which image an address of a process is in.

use std::{cell::OnceCell, collections::HashMap, fs::File, path::Path, sync::Arc};

use super::{
    super::{
        Image, ImageId, ImageKind,
        maps::{Backing, Mapping, ProcessMaps},
        perf_map::LiveMap,
        vdso,
    },
    JIT, Loaded, MOST_IMAGES, MOST_PROCESSES, Symbolizer,
};

/// What is remembered of a process.
pub(super) struct Process {
    maps: ProcessMaps,
    /// By start of the mapping: index into the images.
    images: HashMap<u64, usize>,
    /// Code that it made.
    jit: LiveMap,
    /// It has ended, so that reading its maps again is in vain.
    ended: bool,
}

/// Where an address is.
pub(super) enum Place {
    Code { image: usize, vaddr: u64 },
    Jit(String),
    Named(&'static str),
    Nowhere,
}

impl Symbolizer {
    pub(super) fn place(&mut self, pid: u32, address: u64) -> Place {
        if !self.processes.contains_key(&pid) {
            self.remember(pid);
        }
        let Some(process) = self.processes.get(&pid) else {
            return self.place_in_main(address);
        };
        if process
            .maps
            .find(address)
            .is_none_or(|found| !found.executable)
            && !process.ended
        {
            // The process may have loaded a library since.
            match ProcessMaps::of_living(pid) {
                Some(maps) => {
                    if maps.find(address).is_some_and(|found| found.executable) {
                        self.insert_process(pid, maps);
                    }
                }
                None => {
                    if let Some(process) = self.processes.get_mut(&pid) {
                        process.ended = true;
                    }
                }
            }
        }
        let Some(process) = self.processes.get_mut(&pid) else {
            return Place::Nowhere;
        };
        let Some(mapping) = process.maps.find(address).filter(|found| found.executable) else {
            return Place::Nowhere;
        };
        let (image, offset) = match &mapping.backing {
            Backing::Vdso => {
                let offset = address - mapping.range.start;
                return match self.vdso() {
                    Some(image) => Place::Code {
                        image,
                        vaddr: offset,
                    },
                    None => Place::Named("[vdso]"),
                };
            }
            Backing::Probes => return Place::Named("[uprobes]"),
            Backing::Anonymous => (None, 0),
            Backing::File { .. } => (
                process.images.get(&mapping.range.start).copied(),
                mapping.offset_of(address).unwrap_or(0),
            ),
        };
        let anonymous = mapping.backing == Backing::Anonymous;
        let loaded = image.and_then(|at| self.images.get(at)?.as_ref());
        if let (Some(at), Some(file)) = (image, loaded.and_then(|loaded| loaded.image.as_ref())) {
            return match file.vaddr_of_offset(offset) {
                Some(vaddr) => Place::Code { image: at, vaddr },
                None => Place::Named("[unreadable]"),
            };
        }
        // Some runtimes keep the code that they make in files without a name.
        if let Some(name) = process.jit.find(pid, address) {
            return Place::Jit(name.to_owned());
        }
        // The runtime may be about to write the name.
        self.unsettled |= process.jit.exists() && !process.ended;
        Place::Named(if anonymous { JIT } else { "[unreadable]" })
    }

    /// Index of the kernel's code in user space.
    fn vdso(&mut self) -> Option<usize> {
        if let Some(known) = self.vdso.get() {
            return *known;
        }
        let image = vdso::image().map(|image| {
            self.images.push(Some(Loaded {
                show: image.path().display().to_string().into(),
                file: None,
                image: Some(image),
                slow: OnceCell::new(),
            }));
            self.images.len() - 1
        });
        *self.vdso.get_or_init(|| image)
    }

    /// A process that ended unseen: an address that is fixed at link time needs no maps.
    fn place_in_main(&self, address: u64) -> Place {
        let found = self.main.as_ref().and_then(|image| {
            let fixed = image.kind() == ImageKind::Executable && image.is_code(address);
            fixed
                .then(|| self.by_id.get(&image.id()).copied())
                .flatten()
        });
        match found {
            Some(image) => Place::Code {
                image,
                vaddr: address,
            },
            None => Place::Nowhere,
        }
    }

    /// A process maps this.
    pub(crate) fn insert_process(&mut self, pid: u32, maps: ProcessMaps) {
        let known = self.processes.remove(&pid);
        let jit = known.map(|process| process.jit);
        if jit.is_none() {
            self.order.push_back(pid);
            while self.order.len() > MOST_PROCESSES {
                if let Some(oldest) = self.order.pop_front() {
                    self.processes.remove(&oldest);
                }
            }
        }
        if self.images.len() > MOST_IMAGES {
            self.drop_images();
        }
        let mut images = HashMap::new();
        for mapping in maps.code() {
            if let Some(at) = self.image_of(&maps, mapping) {
                images.insert(mapping.range.start, at);
            }
        }
        self.processes.insert(
            pid,
            Process {
                maps,
                images,
                jit: jit.unwrap_or_default(),
                ended: false,
            },
        );
    }

    /// Starts over: so many files are the mark of processes that come and go.
    fn drop_images(&mut self) {
        let main = self.main.take();
        *self = self.beside();
        if let Some(main) = main {
            self.add_image(main);
        }
    }

    fn image_of(&mut self, maps: &ProcessMaps, mapping: &Mapping) -> Option<usize> {
        let path = maps.open_path(mapping);
        let id = ImageId::of(&path).ok()?;
        if let Some(at) = self.by_id.get(&id) {
            return Some(*at);
        }
        self.open(id, &path, mapping.show_path().display().to_string(), None)
    }

    pub(super) fn open(
        &mut self,
        id: ImageId,
        path: &Path,
        show: String,
        image: Option<Arc<Image>>,
    ) -> Option<usize> {
        let file = File::open(path).ok()?;
        let image = image.or_else(|| self.shelf.image(id, path, &show));
        let at = self.images.len();
        self.images.push(Some(Loaded {
            show: show.into(),
            file: Some(file),
            image,
            slow: OnceCell::new(),
        }));
        self.by_id.insert(id, at);
        Some(at)
    }
}
