//! The collector's part that turns records into rows.

use std::collections::HashMap;

use monigo_common::event::CallRecord;

use super::{Collector, MALFORMED, STACK_TABLE_FULL, STORE_FAILED};
use crate::{
    collect::{clock, draining::Drained, stacks::SampleStack, wait},
    probe::{CallStack, Halt, Record, Sample, WakerSeen},
    store::{CallRow, SampleKind, SampleRow, Wait, Waker},
    symbols::demangle::printable,
};

/// Wakers whose sample has not come; it follows within milliseconds, unless it was lost.
const MAX_WAKERS: usize = 65_536;
/// Name for wake-ups by interrupts: whatever thread they came upon has nothing to do with it.
const INTERRUPT: &str = "[interrupt]";

/// Who ended waits, by who waited and since when.
#[derive(Debug, Default)]
pub(super) struct Wakers(HashMap<(u64, u64), Waker>);

impl Wakers {
    fn note(&mut self, seen: &WakerSeen, waker: Waker) {
        if self.0.len() >= MAX_WAKERS {
            self.0.clear();
        }
        self.0.insert((seen.owner, seen.since_ns), waker);
    }

    /// Stacks of those that are noted.
    pub(super) fn stacks(&self) -> impl Iterator<Item = u64> {
        self.0.values().filter_map(|waker| waker.stack)
    }

    fn of(&mut self, sample: &Sample) -> Option<Waker> {
        if self.0.is_empty() {
            return None;
        }
        self.0.remove(&(sample.owner, sample.at_ns))
    }
}

impl Collector {
    /// Takes what has come, and says how many calls of it were drawn at the sampling rate.
    pub(super) fn take_in(&mut self, drained: Drained) -> u64 {
        self.lose(MALFORMED, drained.malformed);
        self.copied.0 += drained.copies;
        self.copied.1 += drained.copied_bytes;
        for newcomer in drained.newcomers {
            self.welcome(newcomer);
        }
        let room = self.backlog.room();
        let records = drained.records;
        self.records.0 += records.len() as u64;
        let drawn = records
            .iter()
            .filter(|record| {
                matches!(record, Record::Call { call, .. } if call.weight == self.control.sample_every)
            })
            .count();
        for record in records {
            if self.calls.len() + self.samples.len() >= room {
                self.lose(STORE_FAILED, 1);
                continue;
            }
            match record {
                Record::Call { call, stack } => self.take_call(&call, stack),
                Record::Sample(sample) => self.take_sample(sample),
                Record::Waker(waker) => self.take_waker(&waker),
            }
        }
        drawn as u64
    }

    pub(super) fn take_sample(&mut self, mut sample: Sample) {
        self.see(sample.pid);
        let stack = loop {
            let traced = self.functions.get(sample.function as usize);
            let resolver = &mut *self.resolver;
            match self.stacks.intern_sample(resolver, traced, &sample) {
                SampleStack::Interned(id) => break Some(id),
                SampleStack::Full => {
                    self.lose(STACK_TABLE_FULL, 1);
                    break None;
                }
                SampleStack::WithoutFunction if sample.give_to_caller(0) => {}
                SampleStack::WithoutFunction => return,
            }
        };
        self.stand_for_unseen(&mut sample);
        let sample = &sample;
        let waited = sample.kind == SampleKind::OffCpu && !sample.preempted;
        let reason = match sample.halt {
            Some(Halt::Parked(number)) => self.park_reasons.get(number as usize),
            Some(Halt::GaveWay) | None => None,
        }
        .filter(|reason| !reason.is_empty());
        let wait = waited.then(|| {
            let by_stack = stack.map_or(Wait::Other, |stack| self.stacks.wait(stack));
            let by_reason = reason.and_then(|reason| wait::of_reason(reason, by_stack));
            by_reason.unwrap_or(by_stack)
        });
        let callers = sample.callers.iter();
        let callers = callers.map(|call| (call.function, clock::unix_of(call.start_ns)));
        let callers = callers.collect();
        let waker = self.wakers.of(sample);
        self.last_sample += 1;
        self.keep(SampleRow {
            id: self.last_sample,
            call_start_ns: clock::unix_of(sample.call_start_ns),
            callers,
            runnable_ns: sample.runnable_ns,
            wait,
            reason: reason.cloned(),
            waker,
            function: sample.function,
            kind: sample.kind,
            taken_ns: clock::unix_of(sample.at_ns),
            weight_ns: sample.weight_ns,
            away_ns: sample.away_ns,
            pid: sample.pid,
            tid: sample.tid,
            goid: (sample.goid != 0).then_some(sample.goid),
            stack,
        });
    }

    /// Notes who ended a wait, for the sample to come.
    pub(super) fn take_waker(&mut self, seen: &WakerSeen) {
        // The images of other programs are none of our business.
        let user = self.processes.contains_key(&seen.pid);
        let stack = self
            .stacks
            .intern_waker(&mut *self.resolver, seen, user)
            .filter(|_| !seen.kernel.is_empty() || user);
        // An idle CPU does nothing but to handle interrupts.
        let interrupt = seen.pid == 0 || stack.is_some_and(|stack| self.stacks.is_interrupt(stack));
        let waker = Waker {
            tid: if interrupt { 0 } else { seen.tid },
            name: if interrupt {
                INTERRUPT.to_owned()
            } else if seen.goid != 0 {
                format!("goroutine {}", seen.goid)
            } else {
                printable(seen.name.clone())
            },
            stack,
        };
        self.wakers.note(seen, waker);
    }

    pub(super) fn take_call(&mut self, call: &CallRecord, stack: Option<CallStack>) {
        self.see(call.pid);
        let stack = stack.and_then(|CallStack { addresses, cut }| {
            let traced = self.functions.get(call.function as usize)?;
            // The first address is that of the exit site.
            let callers = addresses.get(1..)?;
            let resolver = &mut *self.resolver;
            let id = self
                .stacks
                .intern(resolver, call.pid, call.function, traced, callers, cut);
            if id.is_none() {
                self.lose(STACK_TABLE_FULL, 1);
            }
            id
        });
        self.record(CallRow {
            function: call.function,
            start_ns: clock::unix_of(call.start_ns),
            duration_ns: call.duration_ns,
            probes_ns: call.probes_ns(),
            pid: call.pid,
            tid: call.tid,
            goid: (call.goid != 0).then_some(call.goid),
            cpu: call.cpu,
            weight: call.weight,
            stack,
        });
    }
}
