//! Samples whose call is still open: whether to keep them is decided when it ends.
//!
//! With `--slower-than`, only samples of recorded calls are worth storing: all calls that took that
//! long, and of the others the few to compare them with. A sample comes before the record of its call.
//! It is released when that record comes, or when it was taken so late in its call that the call will
//! be recorded; it is dropped when a later sample of the same thread or goroutine shows that the
//! call is over.

use std::collections::HashMap;

use crate::store::{CallRow, SampleRow};

/// Samples held at a time. Beyond, the oldest quarter goes.
const MOST: usize = 65_536;

/// Process, and goroutine or thread.
type Owner = (u32, u64, bool);
/// Function and start of a call.
type Key = (u32, i64);

/// Samples that wait for the end of their call.
#[derive(Debug)]
pub struct Pending {
    /// Calls that took this are recorded, all of them; ns.
    slower_than_ns: i64,
    most: usize,
    owners: HashMap<Owner, Vec<SampleRow>>,
    held: usize,
}

impl Pending {
    /// For a session that records every call of at least `slower_than_ns`.
    pub fn new(slower_than_ns: u64) -> Self {
        Self {
            slower_than_ns: i64::try_from(slower_than_ns).unwrap_or(i64::MAX),
            most: MOST,
            owners: HashMap::new(),
            held: 0,
        }
    }

    /// Takes a sample in, and hands out those that are to be stored now. Also says how many were
    /// dropped undecided, for want of room.
    pub fn sample(&mut self, sample: SampleRow) -> (Vec<SampleRow>, u64) {
        let mut dropped = 0;
        if self.held >= self.most {
            dropped = self.drop_oldest();
        }
        let owner = owner(sample.pid, sample.goid, sample.tid);
        let open: Vec<Key> = keys(&sample).collect();
        let slow = open
            .iter()
            .copied()
            .filter(|(_, start_ns)| {
                sample.taken_ns.saturating_sub(*start_ns) >= self.slower_than_ns
            })
            .collect::<Vec<_>>();
        let held = self.owners.entry(owner).or_default();
        let before = held.len();
        // Those of calls that are over by now were not released when they ended.
        held.retain(|other| keys(other).any(|key| open.contains(&key)));
        let mut released: Vec<SampleRow> = held
            .extract_if(.., |other| keys(other).any(|key| slow.contains(&key)))
            .collect();
        let after = held.len();
        if slow.is_empty() {
            held.push(sample);
            self.held += 1;
        } else {
            released.push(sample);
        }
        self.held -= before - after;
        if held.is_empty() {
            self.owners.remove(&owner);
        }
        (released, dropped)
    }

    /// A call was recorded: hands out its samples.
    pub fn call(&mut self, call: &CallRow) -> Vec<SampleRow> {
        let owner = owner(call.pid, call.goid, call.tid);
        let Some(held) = self.owners.get_mut(&owner) else {
            return Vec::new();
        };
        let key = (call.function, call.start_ns);
        let released: Vec<SampleRow> = held
            .extract_if(.., |sample| keys(sample).any(|other| other == key))
            .collect();
        if held.is_empty() {
            self.owners.remove(&owner);
        }
        self.held -= released.len();
        released
    }

    /// Stacks of the samples that wait, and of their wakers.
    pub fn stacks(&self) -> impl Iterator<Item = u64> {
        self.owners.values().flatten().flat_map(|sample| {
            let waker = sample.waker.as_ref().and_then(|waker| waker.stack);
            sample.stack.into_iter().chain(waker)
        })
    }

    /// A process ended, and with it its calls.
    pub fn forget(&mut self, pid: u32) {
        let held = &mut self.held;
        self.owners.retain(|owner, samples| {
            let keep = owner.0 != pid;
            if !keep {
                *held -= samples.len();
            }
            keep
        });
    }

    /// Makes room: drops the oldest quarter.
    fn drop_oldest(&mut self) -> u64 {
        let mut times: Vec<i64> = self.owners.values().flatten().map(|s| s.taken_ns).collect();
        let quarter = times.len() / 4;
        if times.is_empty() {
            return 0;
        }
        let (_, &mut limit_ns, _) = times.select_nth_unstable(quarter);
        let before = self.held;
        self.held = 0;
        let held = &mut self.held;
        self.owners.retain(|_, samples| {
            samples.retain(|sample| sample.taken_ns > limit_ns);
            *held += samples.len();
            !samples.is_empty()
        });
        (before - self.held) as u64
    }
}

fn owner(pid: u32, goid: Option<u64>, tid: u32) -> Owner {
    (pid, goid.unwrap_or(tid.into()), goid.is_some())
}

/// The calls that a sample belongs to.
fn keys(sample: &SampleRow) -> impl Iterator<Item = Key> {
    let innermost = (sample.function, sample.call_start_ns);
    std::iter::once(innermost).chain(sample.callers.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SampleKind, fixture};

    const LIMIT: u64 = 1000;

    fn sample(taken_ns: i64, function: u32, start_ns: i64, callers: &[Key]) -> SampleRow {
        SampleRow {
            function,
            call_start_ns: start_ns,
            callers: callers.to_vec(),
            ..fixture::sample(taken_ns, SampleKind::Cpu, 1, None)
        }
    }

    fn call(function: u32, start_ns: i64) -> CallRow {
        CallRow {
            function,
            goid: None,
            ..fixture::call(start_ns, 1, 1, None)
        }
    }

    fn times(samples: &[SampleRow]) -> Vec<i64> {
        samples.iter().map(|sample| sample.taken_ns).collect()
    }

    #[test]
    fn the_record_of_the_call_decides() {
        let mut pending = Pending::new(LIMIT);
        assert!(pending.sample(sample(10, 0, 5, &[])).0.is_empty());
        assert!(pending.sample(sample(20, 0, 5, &[])).0.is_empty());
        assert_eq!(times(&pending.call(&call(0, 5))), [10, 20]);
        assert!(pending.call(&call(0, 5)).is_empty());
        assert_eq!(pending.held, 0);
    }

    #[test]
    fn a_call_without_a_record_is_dropped_with_the_next() {
        let mut pending = Pending::new(LIMIT);
        pending.sample(sample(10, 0, 5, &[]));
        pending.sample(sample(30, 0, 25, &[]));
        assert_eq!(pending.held, 1);
        assert!(
            pending.call(&call(0, 5)).is_empty(),
            "too late, so it was not recorded"
        );
        assert_eq!(times(&pending.call(&call(0, 25))), [30]);
    }

    #[test]
    fn a_call_that_already_took_long_will_be_recorded() {
        let mut pending = Pending::new(LIMIT);
        pending.sample(sample(10, 0, 5, &[]));
        let (released, dropped) = pending.sample(sample(1005, 0, 5, &[]));
        assert_eq!((times(&released), dropped), (vec![10, 1005], 0));
        let (released, _) = pending.sample(sample(2000, 0, 5, &[]));
        assert_eq!(times(&released), [2000]);
    }

    #[test]
    fn samples_of_calls_inside_wait_for_those_around() {
        let mut pending = Pending::new(LIMIT);
        pending.sample(sample(10, 1, 8, &[(0, 5)]));
        pending.sample(sample(20, 0, 5, &[]));
        pending.sample(sample(30, 1, 28, &[(0, 5)]));
        assert_eq!(times(&pending.call(&call(1, 28))), [30]);
        assert_eq!(times(&pending.call(&call(0, 5))), [10, 20]);
    }

    #[test]
    fn others_do_not_matter() {
        let mut pending = Pending::new(LIMIT);
        pending.sample(sample(10, 0, 5, &[]));
        let other = SampleRow {
            tid: 999,
            ..sample(20, 0, 15, &[])
        };
        pending.sample(other);
        assert_eq!(pending.held, 2);
        assert_eq!(times(&pending.call(&call(0, 5))), [10]);
        pending.forget(100);
        assert_eq!((pending.held, pending.owners.len()), (0, 0));
    }

    #[test]
    fn memory_has_a_limit_and_what_goes_is_counted() {
        let mut pending = Pending::new(LIMIT);
        pending.most = 8;
        let mut dropped = 0;
        for at in 0..20 {
            let sample = SampleRow {
                tid: at,
                ..sample(i64::from(at), 0, i64::from(at) - 1, &[])
            };
            let (released, lost) = pending.sample(sample);
            assert!(released.is_empty());
            dropped += lost;
            assert!(pending.held <= 8);
        }
        assert_eq!(pending.held as u64 + dropped, 20);
        assert!(pending.owners.len() <= 8);
        assert_eq!(
            times(&pending.call(&CallRow {
                tid: 19,
                ..call(0, 18)
            })),
            [19],
            "the newest stay"
        );
    }
}
