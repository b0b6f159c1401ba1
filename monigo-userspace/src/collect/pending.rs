//! Samples whose call is still open: whether to keep them is decided when it ends.
//!
//! With `--slower-than`, only samples of recorded calls are worth storing: all calls that took that
//! long, and of the others the few to compare them with. A sample comes before the record of its call.
//! It is released when that record comes, or when it was taken so late in its call that the call will
//! be recorded; it is dropped when a later sample of the same thread, goroutine or future shows that the
//! call is over. Futures go and do not come back as threads do, so it is also asked which are still there.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use monigo_common::open::FutureKey;

use crate::store::{CallRow, SampleRow};

/// Samples held at a time. Beyond, the oldest quarter goes.
const MOST: usize = 65_536;
/// Time in which the record of an execution comes, if there is one.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// What makes one call after the other, or one inside the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Thread {
        pid: u32,
        tid: u32,
    },
    Goroutine {
        pid: u32,
        goid: u64,
    },
    /// The outermost traced one.
    Future(FutureKey),
}

impl Owner {
    fn of(pid: u32, goid: Option<u64>, tid: u32) -> Self {
        match goid {
            Some(goid) => Self::Goroutine { pid, goid },
            None => Self::Thread { pid, tid },
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Thread { pid, .. } | Self::Goroutine { pid, .. } => *pid,
            Self::Future(future) => future.pid,
        }
    }
}

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
    /// The owners of samples of executions, by process and execution: a record does not tell.
    futures: HashMap<(u32, Key), FutureKey>,
    /// Since when executions are known to be over, by the outermost one.
    over: HashMap<(FutureKey, Key), Instant>,
}

impl Pending {
    /// For a session that records every call of at least `slower_than_ns`.
    pub fn new(slower_than_ns: u64) -> Self {
        Self {
            slower_than_ns: i64::try_from(slower_than_ns).unwrap_or(i64::MAX),
            most: MOST,
            owners: HashMap::new(),
            held: 0,
            futures: HashMap::new(),
            over: HashMap::new(),
        }
    }

    /// Takes a sample in, and hands out those that are to be stored now. Also says how many were
    /// dropped undecided, for want of room.
    pub fn sample(&mut self, sample: SampleRow) -> (Vec<SampleRow>, u64) {
        let owner = Owner::of(sample.pid, sample.goid, sample.tid);
        self.take(owner, sample)
    }

    /// The same with a sample of executions of async functions, of which the outermost is `future`.
    pub fn suspended(&mut self, future: FutureKey, sample: SampleRow) -> (Vec<SampleRow>, u64) {
        let executions = keys(&sample).map(|key| ((future.pid, key), future));
        self.futures.extend(executions);
        self.take(Owner::Future(future), sample)
    }

    fn take(&mut self, owner: Owner, sample: SampleRow) -> (Vec<SampleRow>, u64) {
        let mut dropped = 0;
        if self.held >= self.most {
            dropped = self.drop_oldest();
        }
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
        let key = (call.function, call.start_ns);
        let owner = match self.futures.remove(&(call.pid, key)) {
            Some(future) => Owner::Future(future),
            None => Owner::of(call.pid, call.goid, call.tid),
        };
        let Some(held) = self.owners.get_mut(&owner) else {
            return Vec::new();
        };
        let released: Vec<SampleRow> = held
            .extract_if(.., |sample| keys(sample).any(|other| other == key))
            .collect();
        if held.is_empty() {
            self.owners.remove(&owner);
        }
        self.held -= released.len();
        released
    }

    /// Drops what is held of executions that ended without a record. `is_open` tells whether the outermost one, of
    /// this function and start, still is at this future.
    pub fn sweep(&mut self, now: Instant, is_open: impl Fn(FutureKey, Key) -> bool) {
        let mut over = HashMap::new();
        let held = &mut self.held;
        self.owners.retain(|owner, samples| {
            let Owner::Future(future) = *owner else {
                return true;
            };
            let Some(outermost) = samples.last().and_then(|sample| keys(sample).last()) else {
                return false;
            };
            if is_open(future, outermost) {
                return true;
            }
            let execution = (future, outermost);
            let since = self.over.get(&execution).copied().unwrap_or(now);
            let keep = now.saturating_duration_since(since) < ON_ITS_WAY;
            if keep {
                over.insert(execution, since);
            } else {
                *held -= samples.len();
            }
            keep
        });
        self.over = over;
        let owners = &self.owners;
        self.futures
            .retain(|_, future| owners.contains_key(&Owner::Future(*future)));
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
            let keep = owner.pid() != pid;
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

/// The calls that a sample belongs to.
fn keys(sample: &SampleRow) -> impl Iterator<Item = Key> {
    let innermost = (sample.function, sample.call_start_ns);
    std::iter::once(innermost).chain(sample.callers.iter().copied())
}

#[cfg(test)]
mod tests;
