//! What a process maps, with the unwind tables of it.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use framehop::{MayAllocateDuringUnwind, Unwinder as _, UnwinderNative};

use super::{
    row::Registers,
    tables::{Bytes, Tables},
};
use crate::symbols::{
    ImageId,
    maps::{Backing, Mapping, ProcessMaps},
};

/// Least time between two looks at the maps of a process, and after one that showed nothing new.
const REFRESH: Duration = Duration::from_millis(5);
const IN_VAIN: Duration = Duration::from_millis(100);
/// Most images whose tables are held.
const MOST_IMAGES: usize = 1024;
/// Most addresses of a process of which is remembered how their callers are found.
const MOST_ADDRESSES: usize = 1 << 16;

/// Tables of images, each read once.
#[derive(Default)]
pub(super) struct Library {
    files: HashMap<ImageId, Option<Arc<Tables>>>,
    vdso: OnceCell<Option<Arc<Tables>>>,
}

impl Library {
    fn tables(&mut self, maps: &ProcessMaps, mapping: &Mapping) -> Option<Arc<Tables>> {
        if mapping.backing == Backing::Vdso {
            let read = || Tables::of_vdso().map(Arc::new);
            return self.vdso.get_or_init(read).clone();
        }
        let path = maps.open_path(mapping);
        let id = ImageId::of(&path).ok()?;
        if self.files.len() >= MOST_IMAGES {
            // So many are the mark of files that come and go.
            self.files.clear();
        }
        let read = || Tables::of_file(&path, &mapping.show_path()).map(Arc::new);
        self.files.entry(id).or_insert_with(read).clone()
    }
}

/// A mapped image.
pub(super) struct Mapped {
    range: Range<u64>,
    offset: u64,
    tables: Option<Arc<Tables>>,
}

/// The code that a process maps.
pub(super) struct Process {
    maps: ProcessMaps,
    /// By address.
    mapped: Vec<Mapped>,
    pub unwinder: UnwinderNative<Bytes, MayAllocateDuringUnwind>,
    /// By address, for those seen so far.
    special: RefCell<HashMap<u64, bool>>,
    next_look: Instant,
    ended: bool,
}

impl Process {
    /// Looks at a process; `None` if it has ended.
    pub fn look(pid: u32, library: &mut Library) -> Option<Self> {
        let maps = ProcessMaps::of_living(pid)?;
        let mut unwinder = UnwinderNative::new();
        let mut mapped = Vec::new();
        for mapping in maps.all().filter(|mapping| mapping.executable) {
            if mapping.backing == Backing::Anonymous {
                continue;
            }
            let tables = library.tables(&maps, mapping);
            let module = tables.as_ref().and_then(|tables| {
                let name = mapping.show_path().display().to_string();
                tables.module(name, mapping.range.clone(), mapping.file_offset)
            });
            if let Some(module) = module {
                unwinder.add_module(module);
            }
            mapped.push(Mapped {
                range: mapping.range.clone(),
                offset: mapping.file_offset,
                tables,
            });
        }
        Some(Self {
            maps,
            mapped,
            unwinder,
            special: RefCell::default(),
            next_look: Instant::now() + REFRESH,
            ended: false,
        })
    }

    /// Whether there is code at `address`.
    pub fn is_code(&self, address: u64) -> bool {
        self.maps
            .find(address)
            .is_some_and(|mapping| mapping.executable)
    }

    /// Looks again, if that may help to find code at an address where there was none.
    pub fn refresh(&mut self, library: &mut Library) -> bool {
        if self.ended || Instant::now() < self.next_look {
            return false;
        }
        let Some(now) = Self::look(self.maps.pid(), library) else {
            self.ended = true;
            return false;
        };
        let changed = now.maps != self.maps;
        if changed {
            *self = now;
        } else {
            self.next_look = Instant::now() + IN_VAIN;
        }
        changed
    }

    fn mapped_at(&self, address: u64) -> Option<(&Mapped, &Tables)> {
        let end = self
            .mapped
            .partition_point(|mapped| mapped.range.start <= address);
        let mapped = self.mapped.get(end.checked_sub(1)?)?;
        let inside = mapped.range.contains(&address);
        inside.then_some((mapped, mapped.tables.as_deref()?))
    }

    /// Whether unwind tables describe the instruction at `address`.
    pub fn describes(&self, address: u64) -> bool {
        self.mapped_at(address)
            .is_some_and(|(mapped, tables)| tables.describe(address, &mapped.range, mapped.offset))
    }

    /// Whether the caller of the code at `address` can be found by [`Process::caller`] only.
    pub fn is_special(&self, address: u64) -> bool {
        if let Some(known) = self.special.borrow().get(&address) {
            return *known;
        }
        let special = self.mapped_at(address).is_some_and(|(mapped, tables)| {
            let row = tables.row(address, &mapped.range, mapped.offset, |row| {
                row.is_special()
            });
            row.unwrap_or(false)
        });
        let mut all = self.special.borrow_mut();
        if all.len() >= MOST_ADDRESSES {
            all.clear();
        }
        all.insert(address, special);
        special
    }

    /// The registers of the caller of code at `address`, and whether they are those of a thread
    /// that a signal has interrupted there.
    pub fn caller(
        &self,
        address: u64,
        of: Registers,
        mut read: impl FnMut(u64) -> Option<u64>,
    ) -> Option<(Registers, bool)> {
        let (mapped, tables) = self.mapped_at(address)?;
        tables.row(address, &mapped.range, mapped.offset, |row| {
            Some((row.caller(of, &mut read)?, row.signal))
        })?
    }

    /// The image at `address`, for people.
    pub fn name(&self, address: u64) -> Box<str> {
        let mapping = self.maps.find(address);
        let path = mapping.filter(|mapping| mapping.executable);
        path.map_or_else(
            || "no image".into(),
            |mapping| mapping.show_path().display().to_string().into(),
        )
    }
}
