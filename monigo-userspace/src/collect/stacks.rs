//! Names stacks and gives each distinct stack and frame an id, once.

use std::collections::HashMap;

use crate::store::{Frame, NewFrame, NewStack};

/// Distinct stacks kept in memory; later ones are dropped and counted.
const MAX_STACKS: usize = 200_000;
/// Addresses per process whose frames are remembered.
const MAX_ADDRESSES: usize = 1_000_000;

/// Which instruction an address of a stack stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// The instruction at the address.
    Exact,
    /// The call before the address.
    Return,
}

/// Turns an address of a process into frames.
pub trait Resolve {
    /// Frames at `address`, innermost first, inlined ones included. `None` when there is no
    /// code at the address: the stack walk went astray.
    fn resolve(&mut self, pid: u32, address: u64, site: Site) -> Option<Vec<Frame>>;
    /// A process is seen for the first time: whatever will be needed after its end is read now.
    fn remember(&mut self, pid: u32);
    /// The process ended; what is known of it may go.
    fn forget(&mut self, pid: u32);
}

/// Ids of everything stored so far, and what is new since the last flush.
#[derive(Default)]
pub struct StackTable {
    frames: HashMap<Frame, u64>,
    stacks: HashMap<Vec<u64>, u64>,
    addresses: HashMap<(u32, u64, Site), Option<Vec<u64>>>,
    raw: HashMap<(u32, Vec<u64>), u64>,
    new_frames: Vec<NewFrame>,
    new_stacks: Vec<NewStack>,
}

impl StackTable {
    /// The id of a stack of process `pid`, addresses innermost first. `None` when the table is full.
    pub fn intern(
        &mut self,
        resolver: &mut dyn Resolve,
        pid: u32,
        addresses: &[u64],
    ) -> Option<u64> {
        let key = (pid, addresses.to_vec());
        if let Some(&id) = self.raw.get(&key) {
            return Some(id);
        }
        if self.raw.len() >= MAX_STACKS {
            return None;
        }
        let mut frames = Vec::with_capacity(addresses.len());
        let mut truncated = false;
        for (depth, &address) in addresses.iter().enumerate() {
            let site = if depth == 0 {
                Site::Exact
            } else {
                Site::Return
            };
            let Some(ids) = self.frames_at(resolver, pid, address, site) else {
                truncated = true;
                break;
            };
            frames.extend(ids);
        }
        let next = self.stacks.len() as u64 + 1;
        let id = *self.stacks.entry(frames).or_insert_with_key(|frames| {
            self.new_stacks.push(NewStack {
                id: next,
                frames: frames.clone(),
                truncated,
            });
            next
        });
        self.raw.insert(key, id);
        Some(id)
    }

    fn frames_at(
        &mut self,
        resolver: &mut dyn Resolve,
        pid: u32,
        address: u64,
        site: Site,
    ) -> Option<Vec<u64>> {
        if let Some(known) = self.addresses.get(&(pid, address, site)) {
            return known.clone();
        }
        let mut found = resolver.resolve(pid, address, site);
        if site == Site::Exact
            && let Some(frames) = &mut found
            && frames.len() > 1
        {
            // The probed function itself: code inlined around its return instruction would
            // only hide its name.
            frames.drain(..frames.len() - 1);
        }
        let ids = found.map(|frames| frames.into_iter().map(|frame| self.frame(frame)).collect());
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.insert((pid, address, site), ids.clone());
        }
        ids
    }

    fn frame(&mut self, frame: Frame) -> u64 {
        let next = self.frames.len() as u64 + 1;
        *self.frames.entry(frame).or_insert_with_key(|frame| {
            self.new_frames.push(NewFrame {
                id: next,
                frame: frame.clone(),
            });
            next
        })
    }

    /// What has not been stored yet. Call [`StackTable::stored`] once it is.
    pub fn pending(&self) -> (&[NewFrame], &[NewStack]) {
        (&self.new_frames, &self.new_stacks)
    }

    /// Everything pending is stored.
    pub fn stored(&mut self) {
        self.new_frames.clear();
        self.new_stacks.clear();
    }

    /// A process ended: its addresses may be reused for other code.
    pub fn forget(&mut self, pid: u32) {
        self.addresses.retain(|(owner, ..), _| *owner != pid);
        self.raw.retain(|(owner, _), _| *owner != pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Resolve for Fake {
        fn resolve(&mut self, _pid: u32, address: u64, _site: Site) -> Option<Vec<Frame>> {
            let frame = |name: &str, inlined| Frame {
                function: format!("{name}{address}"),
                image: "a".into(),
                address,
                file: None,
                line: None,
                inlined,
                kernel: false,
            };
            (address != 0).then(|| vec![frame("inner", true), frame("outer", false)])
        }

        fn remember(&mut self, _pid: u32) {}

        fn forget(&mut self, _pid: u32) {}
    }

    #[test]
    fn each_stack_and_frame_is_new_once() {
        let mut table = StackTable::default();
        let first = table.intern(&mut Fake, 1, &[10, 20]);
        assert_eq!(table.intern(&mut Fake, 1, &[10, 20]), first);
        assert_eq!(
            table.intern(&mut Fake, 2, &[10, 20]),
            first,
            "same frames, other process"
        );
        let (frames, stacks) = table.pending();
        let names: Vec<_> = frames
            .iter()
            .map(|new| new.frame.function.as_str())
            .collect();
        assert_eq!(names, ["outer10", "inner20", "outer20"]);
        assert_eq!(
            stacks,
            [NewStack {
                id: 1,
                frames: vec![1, 2, 3],
                truncated: false
            }]
        );
        table.stored();
        assert_ne!(table.intern(&mut Fake, 1, &[20]), first);
        assert_eq!(table.pending().1.len(), 1);
    }

    #[test]
    fn walk_that_goes_astray_is_cut() {
        let mut table = StackTable::default();
        table.intern(&mut Fake, 1, &[10, 0, 20]);
        assert_eq!(
            table.pending().1,
            [NewStack {
                id: 1,
                frames: vec![1],
                truncated: true
            }]
        );
    }
}
