//! Walks that need not be repeated: threads are often found where they were found before.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
};

use super::walk::{Stack, Walk};

/// Words that are kept, over all walks: 4 MiB of them.
const MOST_WORDS: usize = 1 << 18;
/// Starts that are remembered without a walk.
const SEEN: usize = 4096;

/// A word of a stack, or that it could not be read.
pub(super) type Word = (u64, Option<u64>);

/// What a walk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Start {
    pub pid: u32,
    pub flags: u32,
    pub ip: u64,
    pub sp: u64,
    pub fp: u64,
    pub position: u64,
    /// Where the copy ends, and the stack.
    pub end: u64,
    pub top: u64,
}

/// A walk, and the words of the stack that led it.
struct Known {
    words: Vec<Word>,
    walk: Walk,
}

/// The last walk from each start that has come more than once. One that reads the same words takes the same way,
/// as long as the processes map what they mapped then.
pub(super) struct Memo {
    /// Hashes of starts that came lately, each at a place of its own.
    seen: Vec<u64>,
    hasher: RandomState,
    walks: HashMap<Start, Known>,
    words: usize,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            seen: vec![0; SEEN],
            hasher: RandomState::new(),
            walks: HashMap::new(),
            words: 0,
        }
    }
}

impl Memo {
    /// Whether the start came lately, too: to keep walks that are not needed again would take longer than
    /// they do.
    pub fn came_before(&mut self, start: &Start) -> bool {
        let hash = self.hasher.hash_one(start);
        let place = &mut self.seen[hash as usize % SEEN];
        std::mem::replace(place, hash) == hash
    }

    /// The walk of a stack like this one, which begins at `start`.
    pub fn get(&self, start: &Start, stack: &Stack<'_>) -> Option<&Walk> {
        let known = self.walks.get(start)?;
        let same = |(at, word): &Word| stack.peek(*at) == *word;
        known.words.iter().all(same).then_some(&known.walk)
    }

    /// Remembers how a stack was walked that has noted what was read.
    pub fn keep(&mut self, start: Start, stack: &Stack<'_>, walk: &Walk) {
        let known = Known {
            words: stack.taken(),
            walk: walk.clone(),
        };
        self.words += known.size();
        if let Some(before) = self.walks.insert(start, known) {
            self.words -= before.size();
        }
        if self.words > MOST_WORDS {
            self.clear();
        }
    }

    /// A process maps something else, or there is another one of its id.
    pub fn clear(&mut self) {
        self.walks.clear();
        self.words = 0;
    }
}

impl Known {
    /// About: a word with its place, or an address with its place.
    fn size(&self) -> usize {
        self.words.len() + self.walk.addresses.len() + 16
    }
}
