//! Ending an interval: what was measured in it, and what is told of it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use monigo_common::event::Loss;

use super::{Collector, STORE_FAILED, factor};
use crate::{
    collect::{budget::Mode, clock, deltas, sampling},
    probe::ProbeError,
    store::{Batch, FunctionDelta, LossDelta},
    target::process,
};

impl Collector {
    /// Ends the interval: takes what was measured in it, and writes it if the store takes it.
    pub(super) fn flush(&mut self) -> Result<(), ProbeError> {
        let elapsed = self.last_flush.elapsed();
        self.sweep();
        let readings = self.read()?;
        let now = Instant::now();
        let open = self.pacer.open_time();
        let duty = factor(self.duty_mark, (now, open.duty));
        let deltas: Vec<Option<FunctionDelta>> = (0..)
            .zip(&self.baselines)
            .zip(&readings)
            .map(|((function, baseline), reading)| {
                let watched = self.watched(function, duty)?;
                baseline.delta(function, reading, watched)
            })
            .collect();
        let factors = self.factors(&deltas, &readings);
        let windows = factor(self.window_mark, (now, open.windows));
        let at_ns = clock::unix_ns();
        for sentence in clock::changes(&mut self.clock_changes) {
            self.notify(sentence);
        }
        let interval = Batch {
            at_ns,
            skipped_ns: clock::skipped(self.flushed_ns, at_ns),
            beside_ns: std::mem::take(&mut self.beside_ns) as u64,
            functions: deltas.iter().flatten().cloned().collect(),
            calls: self.weighted_calls(&factors),
            samples: self.weighted_samples(&factors),
            // Those that are not stored yet go with what is written.
            frames: Vec::new(),
            stacks: Vec::new(),
            held_stacks: Vec::new(),
            processes: std::mem::take(&mut self.new_processes),
            losses: self.loss_deltas()?,
            notices: std::mem::take(&mut self.notices),
            readings: std::mem::take(&mut self.readings),
        };
        for ((function, reading), delta) in (0..).zip(readings).zip(&deltas) {
            if let Some(watched) = self.watched(function, duty) {
                self.baselines[function as usize].advance(reading, delta.as_ref(), watched);
            }
        }
        if duty.is_some() {
            self.duty_mark = (now, open.duty);
        }
        self.window_mark = (now, open.windows);
        self.last_flush = now;
        self.flushed_ns = at_ns;
        for delta in deltas.iter().flatten() {
            let slow_ns = sampling::slow_threshold_ns(&delta.buckets, elapsed);
            let slow_ns = slow_ns.min(self.always_slow_ns);
            self.kernel.set_slow_ns(delta.function, slow_ns)?;
        }
        self.note_long_calls(&deltas, windows);
        self.report(&deltas, elapsed);
        let lost = self.backlog.add(interval);
        self.lose(STORE_FAILED, lost);
        if self.backlog.is_due(now) {
            // What failed is kept.
            let _ = self.write();
        }
        Ok(())
    }

    /// Windows are to be longer than calls; `windows` is how much longer the interval was than what was open of it.
    fn note_long_calls(&mut self, deltas: &[Option<FunctionDelta>], windows: Option<f64>) {
        self.long_calls.pass();
        let share = windows.map_or(0.0, |factor| 1.0 / factor);
        for delta in deltas.iter().flatten() {
            if self.mode(delta.function) == Mode::Windows {
                self.long_calls.note_in_windows(delta, share);
            } else {
                self.long_calls.note(delta);
            }
        }
        self.pacer.set_long_call(self.long_calls.duration());
    }

    fn read(&self) -> Result<Vec<deltas::Reading>, ProbeError> {
        let mut readings = Vec::with_capacity(self.baselines.len());
        let counters = self.kernel.all_counters()?;
        for ((index, baseline), counters) in self.baselines.iter().enumerate().zip(counters) {
            let function = index as u32;
            let mut reading = deltas::Reading {
                counters,
                swept: self.swept[index],
                buckets: Vec::new(),
            };
            if baseline.histogram_is_behind(&reading.counters) {
                self.kernel
                    .histograms(function, |cpu, buckets| reading.keep(cpu, buckets))?;
            }
            readings.push(reading);
        }
        Ok(readings)
    }

    fn loss_deltas(&mut self) -> Result<Vec<LossDelta>, ProbeError> {
        for (cause, count) in Loss::ALL.into_iter().zip(self.kernel.losses()?) {
            self.losses.insert(cause.name(), count);
        }
        let deltas = self
            .losses
            .iter()
            .map(|(&cause, &count)| {
                let before = self.stored_losses.get(cause).copied().unwrap_or(0);
                LossDelta {
                    cause: cause.to_owned(),
                    count: count - before,
                }
            })
            .filter(|delta| delta.count > 0)
            .collect();
        self.stored_losses.clone_from(&self.losses);
        Ok(deltas)
    }

    fn report(&mut self, deltas: &[Option<FunctionDelta>], elapsed: Duration) {
        let began: u64 = deltas
            .iter()
            .flatten()
            .filter(|delta| !self.kernel.counts_executions(delta.function))
            .map(|delta| delta.entered)
            .sum();
        let cost = self.cost();
        let alive: BTreeSet<u32> = self
            .alive
            .iter()
            .copied()
            .filter(|&pid| process::is_alive(pid))
            .collect();
        for &pid in self.alive.difference(&alive) {
            // Its id can come back with other code at the same addresses.
            self.stacks.forget(pid);
            if let Some(pending) = &mut self.pending {
                pending.forget(pid);
            }
            self.resolver.forget(pid);
            self.drain.forget(pid);
        }
        self.alive.clone_from(&alive);
        self.progress.send_modify(|progress| {
            progress.pids = self.processes.keys().copied().collect();
            progress.alive = alive.len();
            progress.live.clone_from(&alive);
            progress.sample_every = self.control.sample_every;
            progress.calls_per_second = began as f64 / elapsed.as_secs_f64().max(0.001);
            progress.cost = Some(cost);
            if progress.losses != self.losses {
                progress.losses.clone_from(&self.losses);
            }
        });
    }
}
