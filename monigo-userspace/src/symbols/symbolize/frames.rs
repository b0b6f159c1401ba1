//! Frames made of what is known about an address, and a cache of them.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::{
    super::{Image, go},
    Frames, MOST_CACHED,
    lines::Entry,
};
use crate::store::Frame;

/// A frame of which the texts are shared: the same few stand in most frames, of which thousands are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFrame {
    /// Demangled function name; `[unknown]` with the address when there is none.
    pub function: Arc<str>,
    /// Image path as shown.
    pub image: Arc<str>,
    /// ELF virtual address.
    pub address: u64,
    /// Source file, when known.
    pub file: Option<Arc<str>>,
    /// Line, when known.
    pub line: Option<u32>,
    /// Inlined into the next outer frame.
    pub inlined: bool,
}

impl From<&SharedFrame> for Frame {
    fn from(frame: &SharedFrame) -> Self {
        Self {
            function: frame.function.to_string(),
            image: frame.image.to_string(),
            address: frame.address,
            file: frame.file.as_deref().map(str::to_owned),
            line: frame.line,
            inlined: frame.inlined,
            kernel: false,
        }
    }
}

/// Two generations: when one is full, the older one is dropped.
pub(super) struct Cache<K> {
    pub(super) young: HashMap<K, Frames>,
    pub(super) old: HashMap<K, Frames>,
}

impl<K: Hash + Eq + Copy> Cache<K> {
    pub(super) fn new() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<Frames> {
        if let Some(frames) = self.young.get(&key) {
            return Some(frames.clone());
        }
        let frames = self.old.remove(&key)?;
        self.insert(key, frames.clone());
        Some(frames)
    }

    pub(super) fn insert(&mut self, key: K, frames: Frames) {
        if self.young.len() >= MOST_CACHED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, frames);
    }
}

/// Frames of what DWARF says, innermost first; none if it does not name the outermost.
pub(super) fn native_frames(
    found: Vec<Entry>,
    frame: &impl Fn(Arc<str>) -> SharedFrame,
) -> Vec<SharedFrame> {
    if found
        .last()
        .is_none_or(|outermost| outermost.name.is_none())
    {
        return Vec::new();
    }
    let outermost = found.len() - 1;
    let place = |(depth, entry): (usize, Entry)| SharedFrame {
        file: entry.file,
        line: entry.line,
        inlined: depth < outermost,
        ..frame(entry.name.unwrap_or_else(|| "[inlined]".into()))
    };
    found.into_iter().enumerate().map(place).collect()
}

/// The outermost frame under the name of the function list, which spells out what the runtime's
/// table elides.
pub(super) fn go_frames(
    image: &Image,
    found: Vec<go::GoFrame>,
    vaddr: u64,
    frame: &impl Fn(Arc<str>) -> SharedFrame,
) -> Vec<SharedFrame> {
    let own = image.function_at(vaddr);
    found
        .into_iter()
        .map(|one| {
            let name = match own {
                Some(own) if !one.inlined => Arc::clone(own.shared_name()),
                _ => one.function.into(),
            };
            SharedFrame {
                file: one.file.map(Arc::from),
                line: one.line,
                inlined: one.inlined,
                ..frame(name)
            }
        })
        .collect()
}

pub(super) fn unknown(image: &Arc<str>, address: u64) -> SharedFrame {
    SharedFrame {
        function: format!("[unknown {address:#x}]").into(),
        image: Arc::clone(image),
        address,
        file: None,
        line: None,
        inlined: false,
    }
}
