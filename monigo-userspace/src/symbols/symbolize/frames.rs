//! Frames made of what is known about an address, and a cache of them.

use std::{collections::HashMap, hash::Hash};

use super::{
    super::{Image, go},
    Frames, MOST_CACHED,
    lines::Entry,
};
use crate::store::Frame;

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
pub(super) fn native_frames(found: Vec<Entry>, frame: &impl Fn(String) -> Frame) -> Vec<Frame> {
    if found
        .last()
        .is_none_or(|outermost| outermost.name.is_none())
    {
        return Vec::new();
    }
    let outermost = found.len() - 1;
    let place = |(depth, entry): (usize, Entry)| Frame {
        file: entry.file,
        line: entry.line,
        inlined: depth < outermost,
        ..frame(entry.name.unwrap_or_else(|| "[inlined]".to_owned()))
    };
    found.into_iter().enumerate().map(place).collect()
}

/// The outermost frame under the name of the function list, which spells out what the runtime's
/// table elides.
pub(super) fn go_frames(
    image: &Image,
    found: Vec<go::GoFrame>,
    vaddr: u64,
    frame: &impl Fn(String) -> Frame,
) -> Vec<Frame> {
    let own = image.function_at(vaddr);
    found
        .into_iter()
        .map(|one| {
            let name = match own {
                Some(own) if !one.inlined => own.name().to_owned(),
                _ => one.function,
            };
            Frame {
                file: one.file,
                line: one.line,
                inlined: one.inlined,
                ..frame(name)
            }
        })
        .collect()
}

pub(super) fn unknown(image: &str, address: u64) -> Frame {
    Frame {
        function: format!("[unknown {address:#x}]"),
        image: image.to_owned(),
        address,
        file: None,
        line: None,
        inlined: false,
        kernel: false,
    }
}
