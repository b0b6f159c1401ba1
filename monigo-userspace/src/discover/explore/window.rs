//! One window: opened over some functions, looked at, closed.

use std::{collections::HashSet, thread, time::Duration};

use monigo_common::counters::Counters;

use super::Explorer;
use crate::{
    discover::{pace, stopped},
    probe::{Price, ProbeError, Watch},
};

/// How a window went.
pub(super) struct Outcome {
    pub counted: Duration,
    pub ended_ns: u64,
    /// What each function did in it.
    pub deltas: Vec<(u32, Counters)>,
    /// Its probes took so much that it ended early.
    pub cut: bool,
    /// What they took, ns.
    pub cost_ns: f64,
}

impl Explorer<'_> {
    /// Opens a window, at most `longest`, and looks at it every `look`.
    pub(super) fn window(
        &mut self,
        parts: &[&[u32]],
        watch: Watch,
        longest: Duration,
        look: Duration,
    ) -> Result<Outcome, ProbeError> {
        let ids: Vec<u32> = parts.iter().flat_map(|ids| ids.iter().copied()).collect();
        let price = |price: Price| match watch {
            Watch::Timed => f64::from(price.cost_ns),
            Watch::Counted => f64::from(price.count_ns),
            Watch::Off => 0.0,
        };
        self.kernel.open_window(parts, watch)?;
        let mut cut = false;
        loop {
            let age = self.kernel.window_age();
            if age >= longest || stopped(self.stop) || self.target_ended() {
                break;
            }
            thread::sleep(look.min(longest.saturating_sub(age)));
            // In a long window it is the rate that counts, not the sum.
            let allowed = pace::BURST.max(self.kernel.window_age().mul_f64(pace::LONG_SHARE * 2.0));
            let cost_ns: f64 = self
                .deltas(&ids)?
                .iter()
                .map(|(id, delta)| delta.entered as f64 * price(self.price(*id)))
                .sum();
            cut = cost_ns >= allowed.as_nanos() as f64;
            if cut {
                break;
            }
            self.report_if_due();
        }
        let opened = self.kernel.close_window()?;
        let deltas = self.deltas(&ids)?;
        let mut cost_ns = 0.0;
        for (id, delta) in &deltas {
            cost_ns += delta.entered as f64 * price(self.price(*id));
            self.last[*id as usize] = add(self.last[*id as usize], delta);
        }
        // Probes fire while they are attached and removed, too, on average half of them.
        let counted = opened.counted.max(Duration::from_micros(1));
        let whole = cost_ns * (1.0 + opened.attaching.div_duration_f64(counted));
        // No more than all CPUs all the time.
        let cpus = thread::available_parallelism().map_or(1, usize::from) as u32;
        let most = ((opened.attaching + counted) * cpus).as_nanos() as f64;
        self.pace
            .spend(Duration::from_nanos(whole.min(most) as u64));
        tracing::debug!(
            "{watch:?} window over {} functions: {opened:?}, cost {:.1} ms, cut {cut}",
            ids.len(),
            cost_ns / 1e6
        );
        Ok(Outcome {
            counted: opened.counted,
            ended_ns: opened.ended_ns,
            deltas,
            cut,
            cost_ns,
        })
    }

    /// What each function did since the last window.
    fn deltas(&self, ids: &[u32]) -> Result<Vec<(u32, Counters)>, ProbeError> {
        let Some((&low, &high)) = ids.iter().min().zip(ids.iter().max()) else {
            return Ok(Vec::new());
        };
        let all = self.kernel.counters_of(low..high + 1)?;
        Ok(ids
            .iter()
            .map(|&id| {
                (
                    id,
                    since(&self.last[id as usize], &all[(id - low) as usize]),
                )
            })
            .collect())
    }

    /// Calls that a window left open, with the time that they had been going on for.
    pub(super) fn left_open(&self, outcome: &Outcome) -> Vec<(u32, u64)> {
        let ids: HashSet<u32> = outcome.deltas.iter().map(|(id, _)| *id).collect();
        let open = self.kernel.open_in_window().into_iter();
        open.filter(|(id, _)| ids.contains(id))
            .map(|(id, began_ns)| (id, outcome.ended_ns.saturating_sub(began_ns)))
            .collect()
    }
}

fn since(before: &Counters, now: &Counters) -> Counters {
    Counters {
        entered: now.entered.saturating_sub(before.entered),
        completed: now.completed.saturating_sub(before.completed),
        total_ns: now.total_ns.saturating_sub(before.total_ns),
        self_ns: now.self_ns.saturating_sub(before.self_ns),
        ..Counters::default()
    }
}

fn add(before: Counters, delta: &Counters) -> Counters {
    Counters {
        entered: before.entered + delta.entered,
        completed: before.completed + delta.completed,
        total_ns: before.total_ns + delta.total_ns,
        self_ns: before.self_ns + delta.self_ns,
        ..Counters::default()
    }
}
