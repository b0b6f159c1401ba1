//! The windows, one after the other.

mod choice;
mod window;

use std::{
    collections::VecDeque,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use monigo_common::counters::Counters;

use self::{choice::scales, window::Outcome};
use super::{
    Found, Ranking, Stage,
    pace::{self, Pace},
    stopped,
    tally::{Seen, Tally},
};
use crate::{
    probe::{Kernel, Price, ProbeError, Watch},
    target::process,
};

/// Functions counted together in a scan; more where there are very many.
const BATCH: usize = 256;
/// Most batches.
const BATCHES: usize = 64;
/// Longest and shortest window of a scan.
const SCAN_WINDOW: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(5));
/// Share of the time for the scan, and of the time left after it for bursts.
const SCAN_TIME: f64 = 0.35;
const BURSTS_TIME: f64 = 0.25;
/// The same for a closer look at those that seem to take most time, and how many.
const FOCUS_TIME: f64 = 0.4;
const FOCUS: usize = 16;
/// A function with more than this share of a window's cost is why it was cut short.
const CULPRIT: f64 = 0.2;
/// Longest window of a burst.
const BURST_WINDOW: Duration = Duration::from_millis(50);
/// Time between looks at the counters of a few functions, and of many.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Time between looks while nothing is probed.
const NAP: Duration = Duration::from_millis(20);
/// Time between reports.
const REPORT: Duration = Duration::from_millis(250);
/// A long window shorter than this tells nothing new.
const SHORTEST_LONG: Duration = Duration::from_millis(200);

struct Explorer<'e> {
    kernel: Kernel,
    pids: &'e [u32],
    stop: &'e AtomicBool,
    prices: Vec<Price>,
    /// Counters up to the last window.
    last: Vec<Counters>,
    tallies: Vec<Tally>,
    pace: Pace,
    started: Instant,
    length: Duration,
    ranking: Ranking,
    reported: Instant,
    observe: &'e mut dyn FnMut(&Ranking),
}

/// Explores the functions that `kernel` has enrolled for `length`; `ranking` is the answer as far
/// as it is known before.
pub fn explore(
    kernel: Kernel,
    pids: &[u32],
    length: Duration,
    ranking: Ranking,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Ranking),
) -> Result<Ranking, ProbeError> {
    let prices = kernel.prices();
    let mut explorer = Explorer {
        last: vec![Counters::default(); prices.len()],
        tallies: vec![Tally::default(); prices.len()],
        kernel,
        pids,
        stop,
        prices,
        pace: Pace::default(),
        started: Instant::now(),
        length,
        ranking,
        reported: Instant::now(),
        observe,
    };
    explorer.report();
    explorer.scan()?;
    explorer.bursts()?;
    explorer.focus()?;
    explorer.long()?;
    explorer.ranking.stage = Stage::Done;
    if explorer.target_ended() {
        explorer
            .ranking
            .notes
            .push("the target ended meanwhile; the figures are of the time before".to_owned());
    }
    explorer.report();
    Ok(explorer.ranking)
}

impl Explorer<'_> {
    /// Counts everything in turns.
    fn scan(&mut self) -> Result<(), ProbeError> {
        self.ranking.stage = Stage::Scan;
        let deadline = self.length.mul_f64(SCAN_TIME);
        let all: Vec<u32> = (0..self.prices.len() as u32).collect();
        let size = BATCH.max(all.len().div_ceil(BATCHES));
        let mut queue: VecDeque<Vec<u32>> = all.chunks(size).map(<[u32]>::to_vec).collect();
        let (longest, shortest) = SCAN_WINDOW;
        while let Some(batch) = queue.pop_front() {
            let left = deadline.saturating_sub(self.started.elapsed());
            // Half of it goes into attaching.
            let turn = left / (2 * (queue.len() as u32 + 1));
            let length = turn.clamp(shortest, longest);
            let outcome = self.window(&[&batch], Watch::Counted, length, LOOKS.0)?;
            let mut rest = Vec::new();
            for &(id, delta) in &outcome.deltas {
                let cost_ns = delta.entered as f64 * f64::from(self.price(id).count_ns);
                let culprit = outcome.cut && cost_ns > outcome.cost_ns * CULPRIT;
                let seen = seen(outcome.counted, &delta);
                self.tallies[id as usize].counted(seen, culprit);
                if outcome.cut && !culprit {
                    rest.push(id);
                }
            }
            if !rest.is_empty() && rest.len() < batch.len() && outcome.counted < length / 2 {
                queue.push_back(rest);
            }
            if self.over(self.length) {
                break;
            }
            self.rest(pace::SCAN_SHARE, self.length);
        }
        Ok(())
    }

    /// Times what is called, in windows that fit how often.
    fn bursts(&mut self) -> Result<(), ProbeError> {
        self.ranking.stage = Stage::Timing;
        let mut set: Vec<(u32, f64)> = self.by_cost();
        set.retain(|(_, share)| *share > 0.0);
        let scales = scales(&set);
        let end = self.part_of_rest(BURSTS_TIME);
        for (index, from) in scales.iter().copied().enumerate() {
            let part = &set[from..];
            let share: f64 = part.iter().map(|(_, share)| share).sum();
            let length = pace::window_length(share, BURST_WINDOW);
            // Those called most are attached last.
            let hot = part.partition_point(|(_, own)| *own > share * CULPRIT);
            let ids = |part: &[(u32, f64)]| part.iter().map(|(id, _)| *id).collect::<Vec<u32>>();
            let (hot, rest) = (ids(&part[..hot]), ids(&part[hot..]));
            let left = end.saturating_sub(self.started.elapsed());
            let until = self.started.elapsed() + left / (scales.len() - index) as u32;
            let mut first = true;
            while first || self.started.elapsed() < until {
                self.rest(pace::SHARE, until);
                if self.over(self.length) {
                    return Ok(());
                }
                let outcome = self.window(&[&rest, &hot], Watch::Timed, length, LOOKS.0)?;
                for &(id, delta) in &outcome.deltas {
                    let seen = seen(outcome.counted, &delta);
                    self.tallies[id as usize].burst(seen, first);
                }
                self.note_open(&outcome);
                first = false;
            }
        }
        Ok(())
    }

    /// Times those that seem to take most time again: among hundreds of functions with some timed
    /// calls each, the first ones are where one call was interrupted.
    fn focus(&mut self) -> Result<(), ProbeError> {
        let until = self.part_of_rest(FOCUS_TIME);
        loop {
            self.rest(pace::SHARE, until);
            if self.started.elapsed() >= until || self.over(self.length) {
                return Ok(());
            }
            let mut set = self.by_cost();
            set.retain(|(_, share)| *share > 0.0);
            set.sort_by(|a, b| self.time_share(b.0).total_cmp(&self.time_share(a.0)));
            set.truncate(FOCUS);
            let share: f64 = set.iter().map(|(_, share)| share).sum();
            let length = pace::window_length(share, BURST_WINDOW * 2);
            let ids: Vec<u32> = set.iter().map(|(id, _)| *id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let outcome = self.window(&[&ids], Watch::Timed, length, LOOKS.0)?;
            for &(id, delta) in &outcome.deltas {
                let seen = seen(outcome.counted, &delta);
                self.tallies[id as usize].burst(seen, false);
            }
            self.note_open(&outcome);
        }
    }

    /// When this share of the time that is left is over, as time of the whole run.
    fn part_of_rest(&self, share: f64) -> Duration {
        let elapsed = self.started.elapsed();
        elapsed + self.length.saturating_sub(elapsed).mul_f64(share)
    }

    /// Notes what a short window left open: such functions are worth a long one.
    fn note_open(&mut self, outcome: &Outcome) {
        for (id, open_ns) in self.left_open(outcome) {
            self.tallies[id as usize].open(open_ns);
        }
    }

    /// Times everything that can be afforded, until the end.
    fn long(&mut self) -> Result<(), ProbeError> {
        self.ranking.stage = Stage::Watching;
        let mut set = self.by_cost();
        loop {
            let ids = self.affordable(&set);
            self.rest(pace::SHARE, self.length.saturating_sub(SHORTEST_LONG));
            let left = self.length.saturating_sub(self.started.elapsed());
            if ids.is_empty() || left < SHORTEST_LONG && self.started.elapsed() > SHORTEST_LONG * 2
            {
                return Ok(());
            }
            let look = if ids.len() > BATCH {
                LOOKS.1
            } else {
                LOOKS.0 * 5
            };
            let outcome = self.window(&[&ids], Watch::Timed, left, look)?;
            for &(id, delta) in &outcome.deltas {
                self.tallies[id as usize].long(seen(outcome.counted, &delta));
            }
            let over = !outcome.cut || self.over(self.length);
            for (id, open_ns) in self.left_open(&outcome) {
                self.tallies[id as usize].long(Seen {
                    open: 1,
                    open_ns,
                    ..Seen::default()
                });
            }
            if over {
                return Ok(());
            }
            // Some are called more often than they were before.
            set = self.by_cost();
        }
    }

    fn price(&self, id: u32) -> Price {
        self.prices[id as usize]
    }

    /// Leaves the target alone until the probes have taken no more than `share` of the time, at
    /// most until `until` of the whole run.
    fn rest(&mut self, share: f64, until: Duration) {
        loop {
            let elapsed = self.started.elapsed();
            let rest = self
                .pace
                .rest(elapsed, share)
                .min(until.saturating_sub(elapsed));
            if rest.is_zero() || stopped(self.stop) || self.target_ended() {
                return;
            }
            thread::sleep(rest.min(NAP));
            self.report_if_due();
        }
    }

    fn over(&self, length: Duration) -> bool {
        self.started.elapsed() >= length || stopped(self.stop) || self.target_ended()
    }

    fn target_ended(&self) -> bool {
        !self.pids.iter().any(|&pid| process::is_alive(pid))
    }

    fn report_if_due(&mut self) {
        if self.reported.elapsed() >= REPORT {
            self.report();
        }
    }

    fn report(&mut self) {
        self.reported = Instant::now();
        self.ranking.elapsed_ns = self.started.elapsed().as_nanos() as u64;
        self.ranking.cost_ns = self.pace.spent().as_nanos() as u64;
        let found = self.tallies.iter().enumerate().filter_map(|(id, tally)| {
            let figures = tally.figures()?;
            Some(Found {
                name: self.kernel.function_name(id as u32)?.to_owned(),
                figures,
                cost_share: figures.calls_per_second * f64::from(self.prices[id].cost_ns) / 1e9,
            })
        });
        self.ranking.functions = found.collect();
        self.ranking.functions.sort_by(|a, b| {
            let key = |found: &Found| {
                (
                    found.figures.time_share.unwrap_or(-1.0),
                    found.figures.calls_per_second,
                )
            };
            let (a, b) = (key(a), key(b));
            b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        (self.observe)(&self.ranking);
    }
}

fn seen(watched: Duration, delta: &Counters) -> Seen {
    Seen {
        watched,
        entered: delta.entered,
        completed: delta.completed,
        total_ns: delta.total_ns,
        self_ns: delta.self_ns,
        ..Seen::default()
    }
}
