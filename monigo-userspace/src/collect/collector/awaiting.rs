//! The collector's part that looks what suspended async functions wait at.
//!
//! The kernel side sees polls. Between two of them nothing happens that could be probed, but the future lies in
//! the target's memory and says where it stopped, so it is looked at now and then.

use std::time::{Duration, Instant};

use monigo_common::open::OwnerKey;
use nix::time::ClockId;

use super::Collector;
use crate::{
    collect::clock,
    goroutines::Memory,
    probe::Waiting,
    store::{Frame, SampleKind, SampleRow, Wait},
    symbols::futures::Suspended,
};

/// Shortest time between looks, on average.
const PACE: Duration = Duration::from_millis(10);
/// Longest time that a look stands for: if the collector was busy for longer, the rest is in no sample.
const LONGEST: Duration = Duration::from_millis(200);
/// Looks take at most one in this many parts of one CPU.
const SHARE: u32 = 100;
/// Executions looked at in one go; of more, each has its turn.
const MOST: usize = 16;
/// Time after which threads are listed again.
const LISTED: Duration = Duration::from_secs(1);
/// Open executions that they are chosen from, and threads that may poll.
const CHOSEN_FROM: usize = 4096;

/// When suspended futures were looked at.
#[derive(Debug)]
pub(super) struct Awaiting {
    last: Instant,
    due: Instant,
    /// CPU time of a look, a mean over the last few.
    took: Duration,
    /// Threads that may poll, and when they were listed: going through the map takes as long as a look.
    pollers: Vec<OwnerKey>,
    listed: Option<Instant>,
    /// Number of the execution to begin with.
    from: usize,
    /// Somebody was told that memory cannot be read.
    told: bool,
}

impl Awaiting {
    pub fn new(now: Instant) -> Self {
        Self {
            last: now,
            due: now,
            took: Duration::ZERO,
            pollers: Vec::new(),
            listed: None,
            from: 0,
            told: false,
        }
    }

    /// Sets the time of the look after this one. Times are not even: a target that waits as regularly would be looked
    /// at in the same part of its round again and again.
    fn next(&mut self, now: Instant) {
        let pace = PACE.max(self.took * SHARE);
        self.last = now;
        self.due = now + pace.mul_f64(rand::random_range(0.5..1.5));
    }
}

/// CPU time of this thread; zero if the kernel does not tell.
fn cpu_time() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.map_or(Duration::ZERO, Duration::from)
}

impl Collector {
    /// Says what suspended futures wait at, from now on.
    pub fn watch_awaits(&mut self) {
        self.awaiting = Some(Awaiting::new(Instant::now()));
    }

    /// Time until suspended futures are to be looked at; `None` if there can be none.
    pub(super) fn until_awaits(&self) -> Option<Duration> {
        let awaiting = self.awaiting.as_ref()?;
        let due = awaiting.due.saturating_duration_since(Instant::now());
        self.kernel.follows_futures().then_some(due)
    }

    /// Looks at suspended futures, if it is time.
    pub(super) fn look_at_awaits(&mut self) {
        let now = Instant::now();
        let Some(awaiting) = self
            .awaiting
            .as_mut()
            .filter(|awaiting| now >= awaiting.due)
        else {
            return;
        };
        let elapsed = now - awaiting.last;
        let before = cpu_time();
        if awaiting.listed.is_none_or(|listed| now - listed >= LISTED) {
            awaiting.pollers = self.kernel.owners(CHOSEN_FROM);
            awaiting.listed = Some(now);
        }
        let from = awaiting.from;
        let pollers = &awaiting.pollers;
        let (waiting, open) = self.kernel.suspended(pollers, from, MOST, CHOSEN_FROM);
        let stood_for = elapsed.min(LONGEST).as_nanos() as u64;
        // Each that is looked at stands for others, too.
        let weight_ns = stood_for * open.max(1) as u64 / open.clamp(1, MOST) as u64;
        for waiting in &waiting {
            if let Some(chain) = self.chain(waiting) {
                self.take_awaiting(waiting, chain, stood_for, weight_ns);
            }
        }
        if let Some(awaiting) = &mut self.awaiting {
            awaiting.from = from.wrapping_add(MOST);
            awaiting.took = (awaiting.took * 7 + cpu_time().saturating_sub(before)) / 8;
            awaiting.next(now);
        }
    }

    /// The futures that wait for each other in a suspended execution, outermost first.
    fn chain(&mut self, waiting: &Waiting) -> Option<Vec<Suspended>> {
        let key = waiting.outer.key;
        let memory = Memory::of(key.pid)?;
        let mut denied = false;
        let chain = waiting.suspensions.chain(|offset, size| {
            let mut bytes = [0; 4];
            let read = bytes.get_mut(..size as usize)?;
            let result = memory.read(key.address.checked_add(offset)?, read);
            denied |= result == Err(nix::Error::EPERM);
            result.ok().map(|()| u32::from_le_bytes(bytes))
        });
        if let Some(awaiting) = self
            .awaiting
            .as_mut()
            .filter(|awaiting| denied && !awaiting.told)
        {
            awaiting.told = true;
            self.notify(format!(
                "what suspended async functions await is not known: reading the memory of process {} is not permitted; monigo needs CAP_SYS_PTRACE for it",
                key.pid
            ));
        }
        // Else it may have been the next future at this place that was read.
        chain.filter(|_| self.kernel.still_waits(&waiting.outer))
    }

    fn take_awaiting(
        &mut self,
        waiting: &Waiting,
        chain: Vec<Suspended>,
        stood_for_ns: u64,
        weight_ns: u64,
    ) {
        if self.calls.len() + self.samples.len() >= self.backlog.room() {
            return;
        }
        let outer = waiting.outer;
        // The traced ones, outermost first.
        let mut open = vec![outer];
        let mut frames = Vec::with_capacity(chain.len());
        for suspended in chain {
            let at = outer.key.address + suspended.offset;
            let mut inside = waiting.inside.iter();
            let found = match suspended.name {
                None => Some(outer),
                // What is awaited last is no async function, and can lie where a future ended.
                Some(_) if suspended.line.is_none() => None,
                Some(_) => inside
                    .find(|other| other.key.address == at && !open.contains(other))
                    .copied(),
            };
            if suspended.name.is_some() {
                open.extend(found);
            }
            let shown = found.unwrap_or(outer);
            let Some(traced) = self.functions.get(shown.function as usize) else {
                return;
            };
            let traced = traced.frame.clone();
            frames.push(Frame {
                function: match suspended.name {
                    Some(name) if found.is_none() => name,
                    _ => traced.function,
                },
                address: 0,
                file: suspended.file,
                line: suspended.line,
                ..traced
            });
        }
        frames.reverse();
        let stack = self.stacks.intern_frames(frames);
        let mut calls = open
            .iter()
            .rev()
            .map(|one| (one.function, clock::unix_of(one.start_ns)));
        let Some((function, start_ns)) = calls.next() else {
            return;
        };
        let now_ns = clock::unix_ns();
        let since_ns = now_ns - i64::try_from(stood_for_ns).unwrap_or(0);
        // It cannot have waited before it began.
        let taken_ns = since_ns.max(start_ns);
        self.last_sample += 1;
        let sample = SampleRow {
            id: self.last_sample,
            call_start_ns: start_ns,
            callers: calls.collect(),
            runnable_ns: 0,
            wait: Some(Wait::Await),
            reason: None,
            waker: None,
            function,
            kind: SampleKind::OffCpu,
            taken_ns,
            weight_ns,
            away_ns: u64::try_from(now_ns - taken_ns).unwrap_or(0),
            pid: outer.key.pid,
            tid: 0,
            goid: None,
            stack,
        };
        self.keep_suspended(sample, outer.key);
    }
}
