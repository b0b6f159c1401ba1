//! The loop between kernel and store, on a thread of its own.

mod adding;
mod awaiting;
mod flushing;
mod parking;
mod slow;
mod sweeping;
mod taking;
mod tuning;
mod weighing;
mod writing;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, never, select};
use monigo_common::config::Control;
use tokio::sync::watch;

pub use self::adding::{AddError, Addition, Request};
use self::{awaiting::Awaiting, parking::ParkingLoad, taking::Wakers, weighing::factor};
use super::{
    backlog::Backlog,
    budget::{Budget, Load, Mode, Plan, Records, StackCost},
    clock,
    deltas::Baseline,
    draining::Drain,
    long_calls::LongCalls,
    newcomer::Newcomer,
    pacing::{OpenTime, Pacer},
    pending::Pending,
    progress::{Command, End, Limits, Progress},
    sampling::Sampling,
    stacks::{Resolve, StackTable, Traced},
    standing::Unseen,
};
use crate::{
    probe::{Kernel, ProbeError},
    service::Reading,
    store::{CallRow, ProcessRow, SampleRow, Store, StoreError},
    target::process::Lifetime,
};

/// Time between looks at whether the recording is to end. While records come, those wake more often.
const LOOK: Duration = Duration::from_millis(300);
/// The same while a number of calls ends it.
const LOOK_AT_CALLS: Duration = Duration::from_millis(10);
/// Time between changes of the sampling rate.
const ADAPT: Duration = Duration::from_millis(100);
/// Time between looks at what the probes cost.
const WEIGH: Duration = Duration::from_millis(500);
/// Recorded calls and samples that are written before the flush is due, so that long flush intervals
/// do not fill the memory.
const FLUSH_EARLY: usize = 50_000;
/// Attempts to write the rest when the recording ends.
const LAST_ATTEMPTS: u32 = 5;
/// Wait between those.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Why collecting failed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The kernel side.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A thread could not be started.
    #[error("starting a thread failed: {0}")]
    Thread(#[source] std::io::Error),
    /// The store did not take what was measured.
    // Not a source: the message holds it already.
    #[error("{0}; everything until the last successful flush is in the database")]
    Store(StoreError),
}

impl From<StoreError> for CollectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Drains the kernel side into a store.
pub struct Collector {
    kernel: Kernel,
    store: Box<dyn Store>,
    session: i64,
    resolver: Box<dyn Resolve>,
    sampling: Sampling,
    control: Control,
    limits: Limits,
    /// With whose end the recording ends.
    until_exit: Option<Lifetime>,
    flush: Duration,
    /// End of the interval before, and changes of the host's clock until then.
    flushed_ns: i64,
    clock_changes: u64,
    baselines: Vec<Baseline>,
    swept: Vec<u64>,
    stacks: StackTable,
    drain: Drain,
    /// Copied stacks, and their bytes, since they were weighed last.
    copied: (u64, u64),
    functions: Vec<Traced>,
    calls: Vec<CallRow>,
    samples: Vec<SampleRow>,
    /// Figures of the service and the host.
    readings: Vec<Reading>,
    /// Id of the last sample.
    last_sample: u64,
    wakers: Wakers,
    parking: ParkingLoad,
    /// Looks at suspended futures, where there are any.
    awaiting: Option<Awaiting>,
    /// Wait reasons of the Go runtime, by number.
    park_reasons: Vec<String>,
    processes: BTreeMap<u32, ProcessRow>,
    alive: BTreeSet<u32>,
    new_processes: Vec<ProcessRow>,
    losses: BTreeMap<&'static str, u64>,
    stored_losses: BTreeMap<&'static str, u64>,
    last_flush: Instant,
    /// What is not written yet.
    backlog: Backlog,
    budget: Budget,
    pacer: Pacer,
    long_calls: LongCalls,
    unseen: Unseen,
    /// The plan before the one in force, and until when it was.
    before: (Plan, i64),
    /// Calls begun by function, and when that was read.
    weighed: (Vec<u64>, Instant, OpenTime),
    loads: Vec<Load>,
    /// Recorded calls per second.
    records: (u64, f64),
    /// Time that they and the probes on Go's scheduler took from the target since the last flush.
    beside_ns: f64,
    /// When the last interval began for functions that are probed in windows, and for how long
    /// windows had been open then.
    duty_mark: (Instant, Duration),
    window_mark: (Instant, Duration),
    notices: Vec<String>,
    /// Async functions whose executions are not followed any more.
    unfollowed: BTreeSet<String>,
    wants_stacks: bool,
    /// Calls of at least this are always recorded, ns.
    always_slow_ns: u64,
    /// Samples that wait for the end of their call, where only some are kept.
    pending: Option<Pending>,
    progress: watch::Sender<Progress>,
    /// Grows as long as the loop goes round.
    beats: Arc<AtomicU64>,
}

/// Losses on the user side.
const MALFORMED: &str = "record_malformed";
const STACK_TABLE_FULL: &str = "stack_table_full";
const STORE_FAILED: &str = "store_failed";

impl Collector {
    /// Prepares to collect from `kernel`, whose programs are attached with `control` in force.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts meet here and nowhere else"
    )]
    pub fn new(
        mut kernel: Kernel,
        functions: Vec<Traced>,
        store: Box<dyn Store>,
        session: i64,
        resolver: Box<dyn Resolve>,
        sampling: Sampling,
        control: Control,
        limits: Limits,
        flush: Duration,
        mut budget: Budget,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, CollectError> {
        let now = Instant::now();
        let copies = kernel.copies_stacks();
        if copies {
            // Until some have come.
            budget.set_stacks(StackCost::Copied(0.0));
        }
        let drain = Drain::start(kernel.take_records()?, copies).map_err(CollectError::Thread)?;
        Ok(Self {
            budget,
            pacer: Pacer::default(),
            long_calls: LongCalls::default(),
            unseen: Unseen::default(),
            before: (Plan::default(), i64::MIN),
            weighed: (vec![0; functions.len()], now, OpenTime::default()),
            loads: vec![Load::default(); functions.len()],
            records: (0, 0.0),
            beside_ns: 0.0,
            duty_mark: (now, Duration::ZERO),
            window_mark: (now, Duration::ZERO),
            notices: Vec::new(),
            unfollowed: BTreeSet::new(),
            wants_stacks: control.stacks != 0,
            always_slow_ns: u64::MAX,
            pending: None,
            drain,
            copied: (0, 0),
            kernel,
            store,
            session,
            resolver,
            sampling,
            control,
            until_exit: limits.until_exit.map(Lifetime::of),
            limits,
            flush,
            flushed_ns: clock::unix_ns(),
            clock_changes: 0,
            baselines: vec![Baseline::default(); functions.len()],
            swept: vec![0; functions.len()],
            stacks: StackTable::default(),
            functions,
            calls: Vec::new(),
            samples: Vec::new(),
            readings: Vec::new(),
            last_sample: 0,
            wakers: Wakers::default(),
            parking: ParkingLoad::default(),
            awaiting: None,
            park_reasons: Vec::new(),
            processes: BTreeMap::new(),
            alive: BTreeSet::new(),
            new_processes: Vec::new(),
            losses: BTreeMap::new(),
            stored_losses: BTreeMap::new(),
            last_flush: Instant::now(),
            backlog: Backlog::default(),
            progress,
            beats: Arc::default(),
        })
    }

    /// Names the reasons for which goroutines park, by the number that the runtime gives them.
    pub fn name_park_reasons(&mut self, reasons: Vec<String>) {
        self.park_reasons = reasons;
    }

    /// Notes processes known to run the target.
    pub fn know(&mut self, pids: &[u32]) {
        for &pid in pids {
            self.see(pid);
        }
    }

    /// Collects until told or due to end; then detaches, stores the rest and closes the session.
    pub fn run(mut self, commands: &Receiver<Command>) -> Result<End, CollectError> {
        let started = Instant::now();
        let mut adapted = Instant::now();
        let mut drawn = 0;
        let first = self.budget.current().clone();
        if first.modes.iter().any(|mode| *mode != Mode::Full) {
            self.put_in_force(&first)?;
        }
        let mut drained = self.drain.drained();
        let end = loop {
            self.beats.fetch_add(1, Ordering::Relaxed);
            let rest = self.rest(started);
            select! {
                recv(commands) -> command => match command {
                    Ok(Command::Stop) | Err(_) => break End::Requested,
                    Ok(Command::Trace(request)) => self.add(*request)?,
                    Ok(Command::Notice(sentence)) => self.notify(sentence),
                    Ok(Command::Readings(readings)) => self.readings.extend(readings),
                    Ok(Command::Tune(tuning)) => self.tune(*tuning)?,
                    Ok(Command::Follow(pids)) => self.follow(&pids)?,
                },
                recv(drained) -> records => match records {
                    Ok(records) => drawn += self.take_in(records),
                    Err(_) => drained = never(),
                },
                default(rest) => {}
            }
            self.look_at_awaits();
            let elapsed = adapted.elapsed();
            if elapsed >= ADAPT {
                self.adapt(drawn, elapsed)?;
                adapted = Instant::now();
                drawn = 0;
            }
            self.pacer.tick(&mut self.kernel)?;
            if self.weighed.1.elapsed() >= WEIGH {
                self.weigh()?;
            }
            if self.last_flush.elapsed() >= self.flush
                || self.calls.len() + self.samples.len() >= FLUSH_EARLY
            {
                self.flush()?;
            }
            if let Some(end) = self.due(started)? {
                break end;
            }
        };
        self.finish(end)?;
        Ok(end)
    }

    /// Time until something is to be done that nobody tells of.
    fn rest(&self, started: Instant) -> Duration {
        let look = if self.limits.max_calls.is_some() {
            LOOK_AT_CALLS
        } else {
            LOOK
        };
        let limit = self.limits.duration;
        let others = [
            Some(self.flush.saturating_sub(self.last_flush.elapsed())),
            Some(WEIGH.saturating_sub(self.weighed.1.elapsed())),
            limit.map(|limit| limit.saturating_sub(started.elapsed())),
            self.pacer.until_change(),
            self.until_awaits(),
        ];
        others.into_iter().flatten().fold(look, Duration::min)
    }

    fn due(&self, started: Instant) -> Result<Option<End>, ProbeError> {
        if self
            .limits
            .duration
            .is_some_and(|duration| started.elapsed() >= duration)
        {
            return Ok(Some(End::Duration));
        }
        if let Some(limit) = self.limits.max_calls {
            let counters = self.kernel.all_counters()?;
            let ended: u64 = (0..)
                .zip(&counters)
                .filter(|(function, _)| !self.kernel.counts_executions(*function))
                .map(|(_, counters)| counters.completed + counters.unwound)
                .sum();
            if ended >= limit {
                return Ok(Some(End::Calls));
            }
        }
        let over = self.until_exit.as_ref().is_some_and(Lifetime::is_over);
        Ok(over.then_some(End::TargetExited))
    }

    fn finish(&mut self, end: End) -> Result<(), CollectError> {
        let started = Instant::now();
        self.kernel.detach()?;
        self.pacer.end();
        tracing::info!("detached in {:.2?}", started.elapsed());
        self.sweep_goroutines();
        let mut rest = Vec::new();
        let tally = self.drain.finish(|drained| rest.push(drained));
        for drained in rest {
            self.take_in(drained);
        }
        let early = tally.and_then(|tally| tally.sentence());
        if let Some(sentence) = early {
            self.notify(sentence);
        }
        self.flush()?;
        self.write_rest()?;
        self.progress
            .send_modify(|progress| progress.ended = Some(end));
        Ok(())
    }

    fn see(&mut self, pid: u32) {
        // Also one that is known and ended: its id may have come back.
        self.alive.insert(pid);
        if !self.processes.contains_key(&pid) {
            self.drain.remember(pid);
            self.welcome(Newcomer::look(pid));
        }
    }

    fn welcome(&mut self, Newcomer { row, maps }: Newcomer) {
        self.alive.insert(row.pid);
        if let Some(maps) = maps {
            self.resolver.remember(row.pid, maps);
        }
        if let Entry::Vacant(place) = self.processes.entry(row.pid) {
            self.new_processes.push(place.insert(row).clone());
        }
    }

    fn lose(&mut self, cause: &'static str, count: u64) {
        if count > 0 {
            *self.losses.entry(cause).or_default() += count;
        }
    }

    fn adapt(&mut self, drawn: u64, elapsed: Duration) -> Result<(), ProbeError> {
        let share = match self.budget.current().records {
            Records::All => 1,
            Records::Fewer | Records::NoStacks => 10,
        };
        let every = self
            .sampling
            .next(self.control.sample_every, drawn, elapsed, share);
        if every != self.control.sample_every {
            self.control.sample_every = every;
            self.kernel.set_control(self.control)?;
        }
        Ok(())
    }
}
