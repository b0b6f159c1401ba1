//! Images and their debug information, read once however many symbolizers need them.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Instant,
};

use super::{
    super::{Image, ImageId},
    MOST_IMAGES,
    lines::{Entry, Lines},
};
use crate::sync::lock;

/// What is open. It keeps nothing open by itself.
#[derive(Default)]
pub(super) struct Shelf {
    images: Mutex<HashMap<ImageId, Weak<Image>>>,
    lines: Mutex<HashMap<ImageId, Weak<SharedLines>>>,
}

impl Shelf {
    /// Takes an image that is open already.
    pub fn add(&self, image: &Arc<Image>) {
        put(&mut lock(&self.images), image.id(), image);
    }

    /// The image in a file, `None` if it is none; `show` is its path for people.
    pub fn image(&self, id: ImageId, path: &Path, show: &str) -> Option<Arc<Image>> {
        let mut images = lock(&self.images);
        if let Some(image) = images.get(&id).and_then(Weak::upgrade) {
            return Some(image);
        }
        let image = Arc::new(Image::open_as(path, Path::new(show)).ok()?);
        put(&mut images, id, &image);
        Some(image)
    }

    /// The debug information of an image.
    pub fn lines(&self, image: &Arc<Image>) -> Arc<SharedLines> {
        let mut all = lock(&self.lines);
        if let Some(lines) = all.get(&image.id()).and_then(Weak::upgrade) {
            return lines;
        }
        let lines = Arc::new(SharedLines {
            image: Arc::clone(image),
            read: OnceLock::new(),
        });
        put(&mut all, image.id(), &lines);
        lines
    }
}

fn put<T>(all: &mut HashMap<ImageId, Weak<T>>, id: ImageId, one: &Arc<T>) {
    if all.len() > MOST_IMAGES {
        all.retain(|_, one| one.strong_count() > 0);
    }
    all.insert(id, Arc::downgrade(one));
}

/// Debug information of an image, read when it is first asked.
pub(super) struct SharedLines {
    image: Arc<Image>,
    read: OnceLock<Option<Mutex<Lines>>>,
}

impl SharedLines {
    /// Functions at `vaddr`, innermost first. Whoever asks while another reads it waits.
    pub fn at(&self, vaddr: u64) -> Vec<Entry> {
        let read = self.read.get_or_init(|| {
            let started = Instant::now();
            let lines = Lines::of(Arc::clone(&self.image));
            let path = self.image.path().display();
            tracing::info!("debug information of {path}: {:.2?}", started.elapsed());
            lines.map(Mutex::new)
        });
        read.as_ref()
            .map_or_else(Vec::new, |lines| lock(lines).at(vaddr))
    }
}
