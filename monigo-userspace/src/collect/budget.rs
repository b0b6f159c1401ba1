//! What the probes may take from the target, and what to give up to stay within it.
//!
//! In this order: fewer calls recorded in full, no stacks, latency in time windows (counts stay
//! exact), probes in time windows (counts become estimates), and no probes.

use std::fmt::Write as _;

use crate::{export::format, probe::Price};

/// Time that recording a call takes, without its stack, ns. Measured apart from the calibrated
/// part, which ends before a call is recorded.
const RECORD_NS: f64 = 400.0;
/// Time that walking a stack by frame pointers takes, ns.
const WALK_NS: f64 = 1_200.0;
/// Time that copying a stack takes, ns, and how much longer it takes per byte.
const COPY_NS: f64 = 900.0;
const COPY_BYTE_NS: f64 = 0.1;
/// Shares of the time that windows are open.
const LEAST_SHARE: f64 = 0.05;
const MOST_SHARE: f64 = 0.5;
/// Least share of the time that functions are probed whose calls are then estimated.
const LEAST_DUTY: f64 = 0.02;
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

/// What one function costs now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Calls that begin, per second.
    pub rate: f64,
    /// Of one call.
    pub price: Price,
}

impl Load {
    fn timed(&self) -> f64 {
        self.rate * f64::from(self.price.cost_ns)
    }

    fn counted(&self) -> f64 {
        self.rate * f64::from(self.price.count_ns.min(self.price.cost_ns))
    }

    /// What it costs when watched like this, ns per second.
    pub fn cost(&self, mode: Mode, plan: &Plan) -> f64 {
        match mode {
            Mode::Full => self.timed(),
            Mode::Windows => self.in_windows(plan.windows),
            Mode::Duty => self.timed() * plan.duty,
            Mode::Off => 0.0,
        }
    }

    fn in_windows(&self, share: f64) -> f64 {
        self.counted() + share * (self.timed() - self.counted())
    }
}

/// What is recorded of single calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Records {
    /// As many as asked for.
    #[default]
    All,
    /// A tenth.
    Fewer,
    /// A tenth, without stacks.
    NoStacks,
}

/// How a function is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Every call is counted and timed.
    #[default]
    Full,
    /// Every call is counted, and timed in windows.
    Windows,
    /// Probed in windows only.
    Duty,
    /// Not at all.
    Off,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Of single calls.
    pub records: Records,
    /// By function.
    pub modes: Vec<Mode>,
    /// Share of the time for [`Mode::Windows`].
    pub windows: f64,
    /// Share of the time for [`Mode::Duty`].
    pub duty: f64,
    /// What it takes, ns per second.
    pub cost: f64,
}

impl Plan {
    /// Everything is watched in full, or `least` at the most.
    pub fn unlimited(functions: usize, least: Mode, windows: f64) -> Self {
        Self {
            modes: vec![least; functions],
            windows,
            ..Self::default()
        }
    }

    /// Functions in a mode.
    pub fn ids(&self, mode: Mode) -> Vec<u32> {
        (0..)
            .zip(&self.modes)
            .filter(|(_, of)| **of == mode)
            .map(|(id, _)| id)
            .collect()
    }

    /// The heaviest measure in force, for people.
    pub fn step(&self) -> &'static str {
        match self.modes.iter().max().copied().unwrap_or_default() {
            Mode::Off => "some functions are not probed",
            Mode::Duty => "some counts are estimated",
            Mode::Windows => "latency in windows",
            Mode::Full => match self.records {
                Records::NoStacks => "no stacks",
                Records::Fewer => "fewer calls recorded",
                Records::All => "",
            },
        }
    }

    /// Whether the user sees other kinds of figures under `self` than under `other`.
    pub fn differs_in_kind(&self, other: &Self) -> bool {
        self.modes != other.modes || self.records != other.records
    }

    /// Whether `self` gives up more than `other`.
    fn is_harder_than(&self, other: &Self) -> bool {
        let harder = self.modes.iter().zip(&other.modes).any(|(a, b)| a > b);
        let has = |mode| self.modes.contains(&mode);
        harder
            || self.records > other.records
            || (has(Mode::Windows) && self.windows < other.windows * 0.7)
            || (has(Mode::Duty) && self.duty < other.duty * 0.7)
    }
}

/// The measures that keep the cost within `budget` ns per second, when `records` calls per second
/// are recorded in full with their `stacks`. No function is watched in more detail than `least`.
pub fn plan(
    loads: &[Load],
    records: f64,
    stacks: StackCost,
    budget: f64,
    least: Mode,
    windows: f64,
) -> Plan {
    let base = Plan::unlimited(loads.len(), least, windows);
    let of_base: f64 = match least {
        Mode::Full => loads.iter().map(Load::timed).sum(),
        _ => loads.iter().map(|load| load.in_windows(windows)).sum(),
    };
    for (kind, taken) in [
        (Records::All, records * stacks.record_ns()),
        (Records::Fewer, records * 0.1 * stacks.record_ns()),
        (Records::NoStacks, records * 0.1 * RECORD_NS),
    ] {
        if of_base + taken <= budget {
            return Plan {
                records: kind,
                cost: of_base + taken,
                ..base
            };
        }
    }
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|&a, &b| loads[b].timed().total_cmp(&loads[a].timed()));
    let within = windowed(loads, &order, budget, least);
    within
        .or_else(|| on_duty(loads, &order, budget, least))
        .unwrap_or_else(|| switched_off(loads, &order, budget))
}

/// Of the functions in `order`, dearest first, as few in windows as will do. The others of `loads`
/// stay as they are in the plan: in full, and not paid for.
fn windowed(loads: &[Load], order: &[usize], budget: f64, least: Mode) -> Option<Plan> {
    let mut rest: f64 = order.iter().map(|&index| loads[index].timed()).sum();
    let mut modes = vec![Mode::Full; loads.len()];
    if rest <= budget && least == Mode::Full {
        return Some(Plan {
            records: Records::NoStacks,
            modes,
            windows: 0.0,
            duty: 0.0,
            cost: rest,
        });
    }
    let (mut fixed, mut variable) = (0.0, 0.0);
    for (position, &index) in order.iter().enumerate() {
        let load = &loads[index];
        rest -= load.timed();
        fixed += load.counted();
        variable += load.timed() - load.counted();
        modes[index] = Mode::Windows;
        let all = least == Mode::Windows && position + 1 < order.len();
        if all || rest.max(0.0) + fixed + LEAST_SHARE * variable > budget {
            continue;
        }
        let share =
            ((budget - rest.max(0.0) - fixed) / variable.max(1.0)).clamp(LEAST_SHARE, MOST_SHARE);
        return Some(Plan {
            records: Records::NoStacks,
            modes,
            windows: share,
            duty: 0.0,
            cost: rest.max(0.0) + fixed + share * variable,
        });
    }
    None
}

/// As few of the dearest functions as will do with their counts estimated, the others as above.
fn on_duty(loads: &[Load], order: &[usize], budget: f64, least: Mode) -> Option<Plan> {
    let with = |dearest: usize| {
        let (dear, others) = order.split_at(dearest);
        let cost: f64 = dear.iter().map(|&index| loads[index].timed()).sum();
        let left = budget - LEAST_DUTY * cost;
        let plan = if others.is_empty() && left >= 0.0 {
            Plan::unlimited(loads.len(), Mode::Full, 0.0)
        } else {
            windowed(loads, others, left, least)?
        };
        Some((plan, cost))
    };
    // The more functions are estimated, the less the rest takes.
    let (mut low, mut high) = (0, order.len());
    with(high)?;
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        if with(middle).is_some() {
            high = middle;
        } else {
            low = middle;
        }
    }
    let (mut plan, cost) = with(high)?;
    plan.records = Records::NoStacks;
    plan.duty = ((budget - plan.cost) / cost.max(1.0)).clamp(LEAST_DUTY, MOST_SHARE);
    plan.cost += plan.duty * cost;
    for &index in &order[..high] {
        plan.modes[index] = Mode::Duty;
    }
    Some(plan)
}

/// The dearest not at all, the others as little as possible.
fn switched_off(loads: &[Load], order: &[usize], budget: f64) -> Plan {
    let mut cost: f64 = loads.iter().map(|load| LEAST_DUTY * load.timed()).sum();
    let mut modes = vec![Mode::Duty; loads.len()];
    for &index in order {
        if cost <= budget {
            break;
        }
        cost -= LEAST_DUTY * loads[index].timed();
        modes[index] = Mode::Off;
    }
    Plan {
        records: Records::NoStacks,
        modes,
        windows: LEAST_SHARE,
        duty: LEAST_DUTY,
        cost: cost.max(0.0),
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
    /// What probes take that belong to no function, ns per second.
    apart_ns: f64,
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
            apart_ns: 0.0,
        }
    }

    /// Probes that belong to no function take `ns` per second: so much less is left.
    pub fn set_apart(&mut self, ns: f64) {
        self.apart_ns = ns;
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

    /// Looks at the load of `processes` processes; a plan to put in force, if it is time for
    /// another one.
    pub fn evaluate(&mut self, loads: &[Load], records: f64, processes: usize) -> Option<Plan> {
        let Some(allowed) = self.allowed_ns(processes) else {
            // The limit may have been lifted.
            let free = Plan::unlimited(self.current.modes.len(), self.least, self.windows);
            let limited = self.current.is_harder_than(&free);
            return limited.then(|| {
                self.current = free.clone();
                free
            });
        };
        let budget = (allowed - self.apart_ns).max(0.0);
        let now: f64 = loads
            .iter()
            .zip(&self.current.modes)
            .map(|(load, mode)| load.cost(*mode, &self.current))
            .sum::<f64>()
            + records * self.stacks.record_ns();
        // Rates are never the same twice: only what is well beyond the budget changes the plan, and
        // the new plan leaves some of it.
        if now > budget * TOLERANCE {
            self.calm = 0;
            let wanted = plan(
                loads,
                records,
                self.stacks,
                budget * AIM,
                self.least,
                self.windows,
            );
            if wanted.is_harder_than(&self.current) || wanted.cost < now {
                self.current = wanted.clone();
                return Some(wanted);
            }
            return None;
        }
        let busier: Vec<Load> = loads
            .iter()
            .map(|load| Load {
                rate: load.rate * CAUTION,
                ..*load
            })
            .collect();
        let cautious = plan(
            &busier,
            records * CAUTION,
            self.stacks,
            budget * AIM,
            self.least,
            self.windows,
        );
        if !self.current.is_harder_than(&cautious) {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        if self.calm < CALM {
            return None;
        }
        self.calm = 0;
        self.current = cautious.clone();
        Some(cautious)
    }

    /// What a new plan means, for the user. `before` was in force.
    pub fn sentence(&self, before: &Plan, loads: &[Load], names: &[String]) -> String {
        let plan = &self.current;
        let full: f64 = loads.iter().map(Load::timed).sum();
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
        if parts.is_empty() || plan.modes.iter().all(|mode| *mode == Mode::Full) {
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
mod tests {
    use super::*;

    const PRICE: Price = Price {
        cost_ns: 16_000,
        bias_ns: 700,
        floor_ns: 100,
        count_ns: 1_000,
    };
    const FIVE_PERCENT: f64 = 5e7;

    fn loads(rates: &[f64]) -> Vec<Load> {
        rates
            .iter()
            .map(|&rate| Load { rate, price: PRICE })
            .collect()
    }

    fn planned(rates: &[f64]) -> Plan {
        plan(
            &loads(rates),
            0.0,
            StackCost::Walked,
            FIVE_PERCENT,
            Mode::Full,
            0.1,
        )
    }

    #[test]
    fn cheap_functions_are_watched_in_full() {
        let plan = planned(&[1_000.0, 500.0]);
        assert_eq!(plan.modes, [Mode::Full, Mode::Full]);
        assert_eq!(plan.records, Records::All);
    }

    #[test]
    fn records_go_first() {
        let plan = plan(
            &loads(&[3_100.0]),
            1_000.0,
            StackCost::Walked,
            FIVE_PERCENT,
            Mode::Full,
            0.1,
        );
        assert_eq!((plan.modes[0], plan.records), (Mode::Full, Records::Fewer));
    }

    #[test]
    fn large_copies_are_dearer_than_small_ones() {
        let records = |bytes| {
            let stacks = StackCost::Copied(bytes);
            let loads = loads(&[2_950.0]);
            plan(&loads, 1_000.0, stacks, FIVE_PERCENT, Mode::Full, 0.1).records
        };
        assert_eq!(records(500.0), Records::All);
        assert_eq!(records(16_384.0), Records::Fewer);
        assert!(StackCost::None.record_ns() < StackCost::Walked.record_ns());
    }

    #[test]
    fn the_dearest_is_timed_in_windows_and_the_budget_used() {
        let plan = planned(&[500.0, 20_000.0, 100.0]);
        assert_eq!(plan.modes, [Mode::Full, Mode::Windows, Mode::Full]);
        assert!(plan.windows > LEAST_SHARE, "{plan:?}");
        assert!((plan.cost - FIVE_PERCENT).abs() < 1.0, "{plan:?}");
    }

    #[test]
    fn then_probed_in_windows_and_then_not_at_all() {
        let plan = planned(&[100.0, 100_000.0]);
        assert_eq!(plan.modes, [Mode::Full, Mode::Duty]);
        assert!(plan.cost <= FIVE_PERCENT * 1.001, "{plan:?}");
        let plan = planned(&[100.0, 3_000_000.0]);
        assert_eq!(plan.modes, [Mode::Duty, Mode::Off]);
        assert!(plan.cost <= FIVE_PERCENT, "{plan:?}");
    }

    #[test]
    fn windows_can_be_asked_for() {
        let plan = plan(
            &loads(&[10.0, 20.0]),
            0.0,
            StackCost::Walked,
            FIVE_PERCENT,
            Mode::Windows,
            0.1,
        );
        assert_eq!(plan.modes, [Mode::Windows, Mode::Windows]);
    }

    #[test]
    fn steps_down_at_once_and_up_when_calm() {
        let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
        assert_eq!(budget.evaluate(&loads(&[1_000.0]), 0.0, 1), None);
        let before = budget.current().clone();
        let down = budget.evaluate(&loads(&[15_000.0]), 0.0, 1).unwrap();
        assert_eq!(down.modes, [Mode::Windows]);
        let names = ["process_order".to_owned()];
        let sentence = budget.sentence(&before, &loads(&[15_000.0]), &names);
        assert!(sentence.contains("process_order"), "{sentence}");
        assert!(sentence.contains("24"), "24 % of one CPU: {sentence}");
        for _ in 1..CALM {
            assert_eq!(budget.evaluate(&loads(&[10.0]), 0.0, 1), None);
        }
        let up = budget.evaluate(&loads(&[10.0]), 0.0, 1).unwrap();
        assert_eq!(up.modes, [Mode::Full]);
    }

    #[test]
    fn each_process_has_its_share() {
        let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
        // Not for a little more than the budget.
        assert_eq!(budget.evaluate(&loads(&[3_300.0]), 0.0, 1), None);
        assert_eq!(budget.evaluate(&loads(&[9_000.0]), 0.0, 4), None);
        assert!(budget.evaluate(&loads(&[9_000.0]), 0.0, 1).is_some());
        let mut less = budget.clone();
        less.set_apart(less.allowed_ns(4).unwrap());
        assert!(less.evaluate(&loads(&[9_000.0]), 0.0, 4).is_some());
    }

    #[test]
    fn no_limit_changes_nothing() {
        let mut budget = Budget::new(None, Mode::Full, 0.1, 1);
        assert_eq!(budget.evaluate(&loads(&[1e9]), 1e6, 1), None);
    }
}
