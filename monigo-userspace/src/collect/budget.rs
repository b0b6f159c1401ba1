//! What the probes may take from the target, and what to give up to stay within it.
//!
//! In this order: fewer calls recorded in full, no stacks, latency and waits of goroutines in time windows (counts
//! stay exact; a tenth of the records keeps its stacks if that is cheap), no waits of goroutines, probes in time windows (counts
//! become estimates), and no probes.

mod plan;

use std::fmt::Write as _;

use crate::export::format;

use self::plan::plan;
pub use self::plan::{Demand, Load, Mode, Plan, Records};

/// Time that recording a call takes, without its stack, ns. Measured apart from the calibrated
/// part, which ends before a call is recorded.
const RECORD_NS: f64 = 400.0;
/// Time that walking a stack by frame pointers takes, ns.
const WALK_NS: f64 = 1_200.0;
/// Time that copying a stack takes, ns, and how much longer it takes per byte.
const COPY_NS: f64 = 900.0;
const COPY_BYTE_NS: f64 = 0.1;
/// Factor by which calls must seem to have become more before they are allowed to take more again.
const CAUTION: f64 = 1.3;
/// Cost, in budgets, from which on less is measured.
const TOLERANCE: f64 = 1.1;
/// Part of the budget that a new plan uses.
const AIM: f64 = 0.8;
/// Evaluations in a row that must allow more before more is taken.
const CALM: u32 = 5;

/// How the stacks of recorded calls are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum StackCost {
    /// They are not.
    None,
    /// Walked by frame pointers.
    #[default]
    Walked,
    /// Copied, this many bytes on average.
    Copied(f64),
}

impl StackCost {
    /// Time that one takes, ns.
    fn ns(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Walked => WALK_NS,
            Self::Copied(bytes) => COPY_NS + bytes * COPY_BYTE_NS,
        }
    }

    /// Time that recording one call takes, with its stack, ns.
    pub fn record_ns(self) -> f64 {
        RECORD_NS + self.ns()
    }
}

/// Keeps the cost within a share of one CPU per traced process.
#[derive(Clone, Debug)]
pub struct Budget {
    /// 0.05 for 5 %; `None` without limit.
    share: Option<f64>,
    least: Mode,
    windows: f64,
    stacks: StackCost,
    current: Plan,
    calm: u32,
}

impl Budget {
    /// Starts with everything watched in full, or `least` at the most, with windows open for a
    /// share of the time.
    pub fn new(share: Option<f64>, least: Mode, windows: f64, functions: usize) -> Self {
        Self {
            share,
            least,
            windows,
            stacks: StackCost::default(),
            current: Plan::unlimited(functions, least, windows),
            calm: 0,
        }
    }

    /// What `processes` processes may lose, ns per second; `None` without limit.
    pub fn allowed_ns(&self, processes: usize) -> Option<f64> {
        self.share
            .map(|share| share * processes.max(1) as f64 * 1e9)
    }

    /// What is in force.
    pub fn current(&self) -> &Plan {
        &self.current
    }

    /// The limit as a share of one CPU.
    pub fn share(&self) -> Option<f64> {
        self.share
    }

    /// Another limit; the next look heeds it.
    pub fn set_share(&mut self, share: Option<f64>) {
        self.share = share;
        self.calm = CALM;
    }

    /// What stacks cost.
    pub fn stacks(&self) -> StackCost {
        self.stacks
    }

    /// What stacks cost from now on.
    pub fn set_stacks(&mut self, stacks: StackCost) {
        self.stacks = stacks;
    }

    /// More functions are traced now.
    pub fn grow(&mut self, functions: usize) {
        self.current.modes.resize(functions, self.least);
    }

    /// Takes a plan for the one in force.
    pub fn adopt(&mut self, plan: Plan) {
        self.current = plan;
    }

    /// Looks at what `processes` processes ask for; a plan to put in force, if it is time for another one.
    pub fn evaluate(&mut self, demand: Demand<'_>, processes: usize) -> Option<Plan> {
        let Some(budget) = self.allowed_ns(processes) else {
            // The limit may have been lifted.
            let free = Plan::unlimited(self.current.modes.len(), self.least, self.windows);
            let limited = self.current.is_harder_than(&free);
            return limited.then_some(free);
        };
        let now = demand.probes_cost(&self.current) + demand.records * self.stacks.record_ns();
        let plan = |demand| {
            let aim = budget * AIM;
            plan(demand, self.stacks, aim, self.least, self.windows)
        };
        // Rates are never the same twice: only what is well beyond the budget changes the plan, and
        // the new plan leaves some of it.
        if now > budget * TOLERANCE {
            self.calm = 0;
            let wanted = plan(demand);
            if wanted.is_harder_than(&self.current) || wanted.cost < now {
                return Some(wanted);
            }
            return None;
        }
        let busier = |load: &Load| Load {
            rate: load.rate * CAUTION,
            ..*load
        };
        let loads: Vec<Load> = demand.loads.iter().map(busier).collect();
        let cautious = plan(Demand {
            loads: &loads,
            parking: busier(&demand.parking),
            records: demand.records * CAUTION,
        });
        // Longer windows are no gain where waits are given up for them.
        let worse = cautious.parking > self.current.parking;
        if worse || !self.current.is_harder_than(&cautious) {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        if self.calm < CALM {
            return None;
        }
        self.calm = 0;
        Some(cautious)
    }

    /// What a new plan means, for the user. `before` was in force.
    pub fn sentence(&self, before: &Plan, demand: Demand<'_>, names: &[String]) -> String {
        let plan = &self.current;
        let full = demand.full_cost();
        let mut text = format!(
            "watching everything takes {} of one CPU",
            format::percent(full / 1e9)
        );
        if let Some(share) = self.share {
            let _ = write!(text, " (--max-overhead {})", format::percent(share));
        }
        let list = |mode: Mode| {
            let ids = plan.ids(mode);
            let mut listed: Vec<&str> = ids
                .iter()
                .filter_map(|&id| names.get(id as usize).map(String::as_str))
                .take(3)
                .collect();
            let more = ids.len().saturating_sub(listed.len());
            let rest = format!("{more} more");
            if more > 0 {
                listed.push(&rest);
            }
            listed.join(", ")
        };
        let mut parts = Vec::new();
        if before.is_harder_than(plan) && !plan.is_harder_than(before) {
            parts.push("less has to be given up now".to_owned());
        }
        for mode in [Mode::Windows, Mode::Duty, Mode::Off] {
            let functions = list(mode);
            if functions.is_empty() {
                continue;
            }
            parts.push(match mode {
                Mode::Windows => format!(
                    "latency of {functions} is measured {} of the time, counts stay exact",
                    format::percent(plan.windows)
                ),
                Mode::Duty => format!(
                    "{functions}: probed {} of the time, so counts are estimated",
                    format::percent(plan.duty)
                ),
                _ => format!("{functions}: not probed any more"),
            });
        }
        match plan.parking {
            Mode::Full => {}
            Mode::Windows | Mode::Duty => parts.push(format!(
                "what goroutines wait for is recorded {} of the time",
                format::percent(plan.windows)
            )),
            Mode::Off => parts.push(
                "what goroutines wait for is not recorded any more, and shows as unattributed"
                    .to_owned(),
            ),
        }
        let in_full = plan.modes.iter().all(|mode| *mode == Mode::Full);
        if parts.is_empty() || in_full && plan.parking == Mode::Full {
            parts.push(
                match plan.records {
                    Records::All => "everything is watched in full",
                    Records::Fewer => "a tenth of the calls is recorded in full",
                    Records::NoStacks => "few calls are recorded in full, and without stacks",
                }
                .to_owned(),
            );
        }
        format!("{text}: {}", parts.join("; "))
    }
}

#[cfg(test)]
mod tests;
