//! Brings copied stacks and the records that they belong to together.

use std::collections::HashMap;

use monigo_common::copy::KIND_CALL_COPIED;

use super::budget::StackCost;
use crate::{
    probe::{CallStack, Record, StackCopy},
    unwind::{End, Tally, Unwinder, Walk},
};

/// Walked stacks whose records have not come yet. A thread has at most one, unless the record was
/// lost.
const MOST_WAITING: usize = 16_384;

/// Walks copied stacks as they come.
pub struct Copies {
    unwinder: Unwinder,
    /// By thread.
    waiting: HashMap<u32, Walk>,
    tally: Tally,
    /// Copies, and their bytes, since the cost was asked for last.
    recent: (u64, u64),
    cost: StackCost,
}

impl Default for Copies {
    fn default() -> Self {
        Self {
            unwinder: Unwinder::default(),
            waiting: HashMap::new(),
            tally: Tally::default(),
            recent: (0, 0),
            cost: StackCost::Copied(0.0),
        }
    }
}

impl Copies {
    /// What copies cost the target, as large as they were lately.
    pub fn cost(&mut self) -> StackCost {
        let (copies, bytes) = std::mem::take(&mut self.recent);
        if copies > 0 {
            self.cost = StackCost::Copied(bytes as f64 / copies as f64);
        }
        self.cost
    }

    /// Remembers what a process maps, which is needed after its end.
    pub fn remember(&mut self, pid: u32) {
        self.unwinder.remember(pid);
    }

    /// A process ended.
    pub fn forget(&mut self, pid: u32) {
        self.unwinder.forget(pid);
    }

    /// How the stacks so far ended.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Walks a stack, for the record of its thread that comes next.
    pub fn take(&mut self, copy: &StackCopy<'_>) {
        let walk = self.unwinder.walk(copy);
        self.tally.add(&walk.end);
        self.recent.0 += 1;
        self.recent.1 += copy.stack.len() as u64;
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.clear();
        }
        self.waiting.insert(copy.head.tid, walk);
    }

    /// Puts the stack in that belongs to a record.
    pub fn complete(&mut self, record: &mut Record) {
        match record {
            Record::Call { call, stack } if call.kind == KIND_CALL_COPIED => {
                *stack = self.waiting.remove(&call.tid).map(|walk| CallStack {
                    cut: walk.end != End::Complete,
                    addresses: walk.addresses,
                });
            }
            Record::Sample(sample) if sample.copied => {
                let Some(walk) = self.waiting.remove(&sample.tid) else {
                    return;
                };
                sample.cut = walk.end != End::Complete;
                sample.user = walk.addresses;
                // The kernel side may have read what a return probe put there.
                sample.return_address = walk.return_address.or(sample.return_address);
            }
            _ => {}
        }
    }
}
