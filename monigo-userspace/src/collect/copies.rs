//! Brings copied stacks and the records that they belong to together.

use std::collections::HashMap;

use monigo_common::{copy::KIND_CALL_COPIED, event::KIND_EXECUTION_WITH_STACK};

use crate::{
    probe::{CallStack, Caller, Record, Sample, StackCopy},
    unwind::{End, Tally, Unwinder, Walk},
};

/// Walked stacks whose records have not come yet. A thread has at most one, unless the record was
/// lost.
const MOST_WAITING: usize = 16_384;

/// Walks copied stacks as they come.
#[derive(Default)]
pub struct Copies {
    unwinder: Unwinder,
    /// By thread.
    waiting: HashMap<u32, Walk>,
    tally: Tally,
}

impl Copies {
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
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.clear();
        }
        self.waiting.insert(copy.head.tid, walk);
    }

    /// Puts the stack in that belongs to a record. Returns false if the record is a sample whose
    /// calls have all been left before it was taken.
    pub fn complete(&mut self, record: &mut Record) -> bool {
        match record {
            Record::Call { call, stack } if call.kind == KIND_CALL_COPIED => {
                *stack = self.waiting.remove(&call.tid).map(|walk| CallStack {
                    cut: walk.end != End::Complete,
                    addresses: walk.addresses,
                });
            }
            Record::Sample(sample) if sample.copied => {
                let Some(walk) = self.waiting.remove(&sample.tid) else {
                    return true;
                };
                if let Some((position, places)) = &walk.left {
                    let places = places.as_slice();
                    if !leave(sample, *position, places) {
                        return false;
                    }
                }
                sample.cut = walk.end != End::Complete;
                sample.user = walk.addresses;
                // The kernel side may have read what a return probe put there.
                sample.return_address = walk.return_address.or(sample.return_address);
            }
            // Where it is, frame pointers lead no further; that is no loss of copies.
            Record::Call {
                call,
                stack: Some(stack),
            } if call.kind == KIND_EXECUTION_WITH_STACK => stack.cut = true,
            // Where there is no room for a copy, the kernel side walks.
            Record::Call {
                stack: Some(stack), ..
            } => {
                stack.cut = true;
                self.tally.add(&End::NotCopied);
            }
            // Goroutines have frame pointers, and those that gave way come without a stack.
            Record::Sample(sample) if sample.halt.is_some() => {}
            Record::Sample(sample) => {
                sample.cut = true;
                self.tally.add(&End::NotCopied);
            }
            Record::Call { stack: None, .. } | Record::Waker(_) => {}
        }
        true
    }
}

/// Gives a sample to the innermost call that has not been left: whose return address lies at one of
/// `places`. That of the call that it was taken for would lie at `position`. False if there is none.
fn leave(sample: &mut Sample, position: u64, places: &[u64]) -> bool {
    let runs = |call: &Caller| {
        call.above > 0 && places.contains(&position.wrapping_add(call.above.into()))
    };
    let running = sample.callers.iter().position(runs);
    running.is_some_and(|index| sample.give_to_caller(index))
}

#[cfg(test)]
mod tests {
    use monigo_common::{
        copy::{KIND_STACK_COPY, StackCopyHead},
        event::CallRecord,
    };

    use super::*;
    use crate::store::SampleKind;

    fn copy(tid: u32, ip: u64) -> StackCopy<'static> {
        StackCopy {
            head: StackCopyHead {
                kind: KIND_STACK_COPY,
                tid,
                ip,
                // Nobody has it.
                pid: u32::MAX,
                ..StackCopyHead::default()
            },
            stack: &[],
        }
    }

    fn call(kind: u32, tid: u32, stack: Option<CallStack>) -> Record {
        let call = CallRecord {
            kind,
            tid,
            ..CallRecord::default()
        };
        Record::Call { call, stack }
    }

    fn sample() -> Sample {
        Sample {
            kind: SampleKind::Cpu,
            function: 0,
            pid: 1,
            tid: 1,
            goid: 0,
            at_ns: 0,
            call_start_ns: 0,
            callers: vec![],
            owner: 1,
            runnable_ns: 0,
            preempted: false,
            halt: None,
            weight_ns: 0,
            away_ns: 0,
            return_address: None,
            kernel: vec![],
            user: vec![],
            copied: true,
            cut: false,
        }
    }

    fn addresses(record: &Record) -> Option<(&[u64], bool)> {
        match record {
            Record::Call { stack, .. } => {
                let stack = stack.as_ref()?;
                Some((&stack.addresses, stack.cut))
            }
            Record::Sample(sample) => Some((&sample.user, sample.cut)),
            Record::Waker(_) => None,
        }
    }

    #[test]
    fn each_thread_gets_its_own_stack_once() {
        let mut copies = Copies::default();
        copies.take(&copy(1, 10));
        copies.take(&copy(2, 20));
        let mut second = call(KIND_CALL_COPIED, 2, None);
        assert!(copies.complete(&mut second));
        assert_eq!(addresses(&second), Some(([20].as_slice(), true)));
        let mut sample = Record::Sample(sample());
        assert!(copies.complete(&mut sample));
        assert_eq!(addresses(&sample), Some(([10].as_slice(), true)));
        let mut lost = call(KIND_CALL_COPIED, 2, None);
        assert!(copies.complete(&mut lost));
        assert_eq!(addresses(&lost), None);
    }

    #[test]
    fn what_was_walked_instead_is_not_taken_for_whole() {
        let mut copies = Copies::default();
        let stack = CallStack {
            addresses: vec![1, 2],
            cut: false,
        };
        let mut record = call(2, 1, Some(stack));
        assert!(copies.complete(&mut record));
        assert_eq!(addresses(&record), Some(([1, 2].as_slice(), true)));
        assert_eq!(copies.tally().early(), 1);
    }

    #[test]
    fn a_sample_goes_to_the_innermost_call_that_has_not_been_left() {
        let caller = |function, above| Caller {
            function,
            above,
            start_ns: u64::from(function) * 100,
        };
        let taken = Sample {
            callers: vec![caller(1, 16), caller(2, 64), caller(3, 96)],
            return_address: Some(5),
            ..sample()
        };
        let mut left = taken.clone();
        assert!(leave(&mut left, 1000, &[992, 1064, 1096, 1200]));
        assert_eq!((left.function, left.call_start_ns), (2, 200));
        assert_eq!(left.callers, [caller(3, 32)]);
        assert_eq!(left.return_address, None);
        let mut left = taken;
        assert!(!leave(&mut left, 1000, &[992, 1200]));
    }
}
