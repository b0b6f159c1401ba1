//! Names stacks and gives each distinct stack and frame an id, once.

mod user;

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use self::user::{UserStack, completed, is_left};
use super::wait::{self, Hint};
use crate::{
    probe::{Sample, WakerSeen},
    store::{Forgotten, Frame, NewFrame, NewStack, Wait},
    symbols::{demangle::printable, maps::ProcessMaps},
};

/// Distinct stacks kept in memory; later ones are dropped and counted.
const MAX_STACKS: usize = 200_000;
/// Addresses per process whose frames are remembered.
const MAX_ADDRESSES: usize = 1_000_000;

/// Which instruction an address of a stack stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// The instruction at the address, which may be anywhere.
    Interrupted,
    /// The call before the address.
    Return,
}

/// Turns an address of a process into frames.
pub trait Resolve {
    /// Frames at `address`, innermost first, inlined ones included. `None` when there is no
    /// code at the address: the stack walk went astray.
    fn resolve(&mut self, pid: u32, address: u64, site: Site) -> Option<Vec<Frame>>;
    /// Where the code interrupted at `address` returns to, if that is missing in a walk by frame pointers
    /// which went on with `walked`.
    fn skipped_caller(&mut self, pid: u32, address: u64, walked: u64) -> Option<u64> {
        let _ = (pid, address, walked);
        None
    }
    /// A process is seen for the first time, and maps this: whatever will be needed after its end is read now.
    fn remember(&mut self, pid: u32, maps: ProcessMaps);
    /// The frame at a kernel address.
    fn kernel(&mut self, address: u64) -> Frame;
    /// The process ended; what is known of it may go.
    fn forget(&mut self, pid: u32);
    /// Whether anything that was resolved since the last call may be known better later, so that it
    /// should be asked for again.
    fn take_unsettled(&mut self) -> bool {
        false
    }
}

/// A traced function as the collector knows it.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The function as a frame: the innermost one of its calls' stacks, and for samples whose
    /// walk skips it.
    pub frame: Frame,
    /// ELF virtual addresses of its code, in the image of `frame`.
    pub ranges: Vec<Range<u64>>,
}

impl Traced {
    /// Whether `frame` stands right behind the function.
    fn ends_at(&self, frame: &Frame) -> bool {
        frame.image == self.frame.image
            && self.ranges.iter().any(|range| range.end == frame.address)
    }

    fn contains(&self, frame: &Frame) -> bool {
        // A return address can lie just behind the function.
        let inside =
            |range: &Range<u64>| range.start <= frame.address && frame.address <= range.end;
        frame.image == self.frame.image && self.ranges.iter().any(inside)
    }
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
    /// The stack at hand has frames of which more may be known later.
    unsettled: bool,
    /// What frames say about waits, by id.
    hints: HashMap<u64, Hint>,
    /// What is waited for at stacks, by id, and whether they are of interrupts.
    waits: HashMap<u64, (Wait, bool)>,
    /// The highest id of a frame, and of a stack.
    last_frame: u64,
    last_stack: u64,
}

/// What became of a sample's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleStack {
    /// It has this id.
    Interned(u64),
    /// The table is full.
    Full,
    /// The traced function is not in it: the call that the sample was taken for is over.
    WithoutFunction,
}

/// Stands for [`SampleStack::WithoutFunction`] among ids, which begin with 1.
const WITHOUT_FUNCTION: u64 = 0;

/// Ends the key of a waker's stack; no function has this id.
const WAKER: u64 = u64::MAX;

impl StackTable {
    /// The id of the stack of a call of `traced`, function number `function`, of process `pid`:
    /// return addresses innermost first, with `cut` not all of them. `None` when the table is full.
    pub fn intern(
        &mut self,
        resolver: &mut dyn Resolve,
        pid: u32,
        function: u32,
        traced: &Traced,
        callers: &[u64],
        cut: bool,
    ) -> Option<u64> {
        // The function stands for itself, whichever of its instructions it returned by.
        let mut key = Vec::with_capacity(callers.len() + 1);
        key.push(u64::from(function));
        key.extend(callers);
        if cut {
            // No walk has a zero at its end.
            key.push(0);
        }
        let key = (pid, key);
        if let Some(&id) = self.raw.get(&key) {
            return Some(id);
        }
        if self.raw.len() >= MAX_STACKS {
            return None;
        }
        let mut frames = vec![self.frame(traced.frame.clone())];
        let mut truncated = cut;
        for &address in callers {
            let Some(ids) = self.frames_at(resolver, pid, address, Site::Return) else {
                truncated = true;
                break;
            };
            frames.extend(ids);
        }
        Some(self.insert(key, frames, truncated))
    }

    /// The id of a sample's stack: kernel frames, then user frames. The traced function is always
    /// in it, and so is its caller: where a walk by frame pointers skips them, because something
    /// in between keeps none, they are put in.
    pub fn intern_sample(
        &mut self,
        resolver: &mut dyn Resolve,
        traced: Option<&Traced>,
        sample: &Sample,
    ) -> SampleStack {
        let pid = sample.pid;
        // Zeros keep these apart from the stacks of calls, which have none.
        let mut addresses = sample.kernel.clone();
        addresses.push(0);
        addresses.extend(&sample.user);
        addresses.extend([
            0,
            sample.return_address.unwrap_or(0),
            u64::from(sample.function),
            u64::from(sample.cut),
        ]);
        let key = (pid, addresses);
        if let Some(&id) = self.raw.get(&key) {
            return match id {
                WITHOUT_FUNCTION => SampleStack::WithoutFunction,
                id => SampleStack::Interned(id),
            };
        }
        if self.raw.len() >= MAX_STACKS {
            return SampleStack::Full;
        }
        if traced.is_some_and(|traced| is_left(resolver, traced, sample)) {
            self.raw.insert(key, WITHOUT_FUNCTION);
            return SampleStack::WithoutFunction;
        }
        let completed = completed(resolver, sample);
        let sample = completed.as_ref().unwrap_or(sample);
        let mut frames = self.kernel_frames(resolver, &sample.kernel);
        let user = UserStack::of(sample, |address, site| {
            let frames = resolver.resolve(pid, address, site).unwrap_or_default();
            traced.is_none_or(|traced| frames.iter().any(|frame| traced.contains(frame)))
        });
        let mut truncated = user.truncated || sample.cut;
        let mut behind_function = |address| {
            let frames = resolver.resolve(pid, address, Site::Interrupted);
            let last = frames.as_ref().and_then(|frames| frames.last());
            last.is_some_and(|frame| traced.is_some_and(|traced| traced.ends_at(frame)))
        };
        // A thread interrupted while the kernel handles the breakpoint on a `ret` stands behind it.
        let returning = user
            .inner
            .first()
            .is_some_and(|&address| behind_function(address));
        let inner = user.inner.iter().enumerate().map(|(depth, &address)| {
            let site = if depth == 0 && !returning {
                Site::Interrupted
            } else {
                Site::Return
            };
            Some((address, site))
        });
        let function = user.skips_function.then_some(None);
        let outer = user
            .outer
            .iter()
            .map(|&address| Some((address, Site::Return)));
        for step in inner.chain(function).chain(outer) {
            let Some((address, site)) = step else {
                let frame = traced.map(|traced| traced.frame.clone());
                frames.extend(frame.map(|frame| self.frame(frame)));
                continue;
            };
            let Some(ids) = self.frames_at(resolver, pid, address, site) else {
                truncated = true;
                break;
            };
            frames.extend(ids);
        }
        SampleStack::Interned(self.insert(key, frames, truncated))
    }

    /// The id of a stack that was not walked, innermost frame first. `None` when the table is full.
    pub fn intern_frames(&mut self, frames: Vec<Frame>) -> Option<u64> {
        if self.stacks.len() >= MAX_STACKS {
            return None;
        }
        let frames = frames.into_iter().map(|frame| self.frame(frame)).collect();
        Some(self.id_of(frames, false))
    }

    /// The id of the stack of whoever ended a wait; user frames only if `user`. `None` when the table
    /// is full.
    pub fn intern_waker(
        &mut self,
        resolver: &mut dyn Resolve,
        waker: &WakerSeen,
        user: bool,
    ) -> Option<u64> {
        let pid = if user { waker.pid } else { 0 };
        let walked = if user { waker.user.as_slice() } else { &[] };
        let mut addresses = waker.kernel.clone();
        addresses.push(0);
        addresses.extend(walked);
        addresses.extend([0, 0, WAKER]);
        let key = (pid, addresses);
        if let Some(&id) = self.raw.get(&key) {
            return Some(id);
        }
        if self.raw.len() >= MAX_STACKS {
            return None;
        }
        let mut frames = self.kernel_frames(resolver, &waker.kernel);
        let mut truncated = false;
        for (depth, &address) in walked.iter().enumerate() {
            let site = if depth == 0 {
                Site::Interrupted
            } else {
                Site::Return
            };
            let Some(ids) = self.frames_at(resolver, pid, address, site) else {
                truncated = true;
                break;
            };
            frames.extend(ids);
        }
        Some(self.insert(key, frames, truncated))
    }

    /// What a thread waits for at a stack.
    pub fn wait(&self, stack: u64) -> Wait {
        self.of_stack(stack).map_or(Wait::Other, |(wait, _)| wait)
    }

    /// Whether a stack is that of an interrupt on top of whatever ran.
    pub fn is_interrupt(&self, stack: u64) -> bool {
        self.of_stack(stack).is_some_and(|(_, interrupt)| interrupt)
    }

    fn of_stack(&self, stack: u64) -> Option<(Wait, bool)> {
        self.waits.get(&stack).copied()
    }

    fn kernel_frames(&mut self, resolver: &mut dyn Resolve, addresses: &[u64]) -> Vec<u64> {
        let mut frames = Vec::with_capacity(addresses.len());
        for (depth, &address) in addresses.iter().enumerate() {
            // A return address belongs to the call before it.
            let frame = resolver.kernel(address - u64::from(depth > 0 && address > 0));
            // Stacks taken at a tracepoint begin with how it came to be taken.
            if frames.is_empty() && wait::is_tracing(&frame.function) {
                continue;
            }
            frames.push(self.frame(frame));
        }
        frames
    }

    fn insert(&mut self, key: (u32, Vec<u64>), frames: Vec<u64>, truncated: bool) -> u64 {
        let id = self.id_of(frames, truncated);
        if !std::mem::take(&mut self.unsettled) {
            self.raw.insert(key, id);
        }
        id
    }

    fn id_of(&mut self, frames: Vec<u64>, truncated: bool) -> u64 {
        let next = self.last_stack + 1;
        *self.stacks.entry(frames).or_insert_with_key(|frames| {
            let hints = frames.iter();
            let hints = hints.filter_map(|frame| self.hints.get(frame).copied());
            let wait = wait::of_stack(&hints);
            self.waits.insert(next, (wait, wait::is_interrupt(hints)));
            self.last_stack = next;
            self.new_stacks.push(NewStack {
                id: next,
                frames: frames.clone(),
                truncated,
            });
            next
        })
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
        let found = resolver.resolve(pid, address, site);
        let unsettled = resolver.take_unsettled();
        self.unsettled |= unsettled;
        let ids = found.map(|frames| frames.into_iter().map(|frame| self.frame(frame)).collect());
        if self.addresses.len() < MAX_ADDRESSES && !unsettled {
            self.addresses.insert((pid, address, site), ids.clone());
        }
        ids
    }

    fn frame(&mut self, frame: Frame) -> u64 {
        let frame = Frame {
            function: printable(frame.function),
            image: printable(frame.image),
            file: frame.file.map(printable),
            ..frame
        };
        let next = self.last_frame + 1;
        *self.frames.entry(frame).or_insert_with_key(|frame| {
            let hint = Hint::of(&frame.function, frame.kernel);
            self.hints.insert(next, hint);
            self.last_frame = next;
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

    /// These were deleted from the store: what of them comes again gets new ids.
    pub fn drop_ids(&mut self, forgotten: &Forgotten) {
        if forgotten.stacks.is_empty() {
            return;
        }
        let stacks: HashSet<u64> = forgotten.stacks.iter().copied().collect();
        let frames: HashSet<u64> = forgotten.frames.iter().copied().collect();
        self.stacks.retain(|_, id| !stacks.contains(id));
        self.raw.retain(|_, id| !stacks.contains(id));
        self.waits.retain(|id, _| !stacks.contains(id));
        self.frames.retain(|_, id| !frames.contains(id));
        self.hints.retain(|id, _| !frames.contains(id));
        self.addresses
            .retain(|_, ids| ids.iter().flatten().all(|id| !frames.contains(id)));
    }

    /// A process ended: its addresses may be reused for other code.
    pub fn forget(&mut self, pid: u32) {
        self.addresses.retain(|(owner, ..), _| *owner != pid);
        self.raw.retain(|(owner, _), _| *owner != pid);
    }
}

#[cfg(test)]
mod tests;
