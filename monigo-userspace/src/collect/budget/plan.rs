//! What to watch, and how, so that the cost stays within a budget.

use crate::probe::Price;

use super::{RECORD_NS, StackCost};

/// Shares of the time that windows are open.
pub(super) const LEAST_SHARE: f64 = 0.05;
const MOST_SHARE: f64 = 0.5;
/// Share of the budget that recorded calls may take where calls are timed in windows only.
const CHEAP: f64 = 0.1;
/// Least share of the time that functions are probed whose calls are then estimated.
const LEAST_DUTY: f64 = 0.02;

/// What one function costs now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Calls that begin, per second.
    pub rate: f64,
    /// Of one call.
    pub price: Price,
}

impl Load {
    pub(super) fn timed(&self) -> f64 {
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

/// What is to be watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand<'a> {
    /// By function.
    pub loads: &'a [Load],
    /// Probes on Go's scheduler, for what goroutines wait for.
    pub parking: Load,
    /// Calls recorded in full, per second.
    pub records: f64,
}

impl Demand<'_> {
    /// What the probes cost under a plan, ns per second.
    pub fn probes_cost(&self, plan: &Plan) -> f64 {
        let loads = self.loads.iter().zip(&plan.modes);
        let functions: f64 = loads.map(|(load, mode)| load.cost(*mode, plan)).sum();
        functions + self.parking.cost(plan.parking, plan)
    }

    /// What the probes cost when nothing is given up, ns per second.
    pub(super) fn full_cost(&self) -> f64 {
        self.loads.iter().map(Load::timed).sum::<f64>() + self.parking.timed()
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
    /// How goroutines are watched as they park: as functions are, but never in [`Mode::Duty`].
    pub parking: Mode,
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

    /// How much longer the time is than that in which what is in a mode is measured.
    pub fn rarity(&self, mode: Mode) -> f64 {
        let share = match mode {
            Mode::Windows => self.windows,
            Mode::Duty => self.duty,
            Mode::Full | Mode::Off => 1.0,
        };
        1.0 / share.clamp(0.001, 1.0)
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
            Mode::Full if self.parking == Mode::Off => "no waits of goroutines",
            Mode::Full if self.parking == Mode::Windows => "waits of goroutines in windows",
            Mode::Full => match self.records {
                Records::NoStacks => "no stacks",
                Records::Fewer => "fewer calls recorded",
                Records::All => "",
            },
        }
    }

    /// Whether the user sees other kinds of figures under `self` than under `other`.
    pub fn differs_in_kind(&self, other: &Self) -> bool {
        self.modes != other.modes || self.parking != other.parking || self.records != other.records
    }

    /// Whether `self` gives up more than `other`.
    pub(super) fn is_harder_than(&self, other: &Self) -> bool {
        let harder = self.modes.iter().zip(&other.modes).any(|(a, b)| a > b);
        let has = |mode| self.modes.contains(&mode) || self.parking == mode;
        harder
            || self.parking > other.parking
            || self.records > other.records
            || (has(Mode::Windows) && self.windows < other.windows * 0.7)
            || (has(Mode::Duty) && self.duty < other.duty * 0.7)
    }
}

/// The measures that keep the cost of `demand` within `budget` ns per second, when recorded calls have their
/// `stacks`. No function is watched in more detail than `least`, with windows open for `windows` of the time.
pub(super) fn plan(
    demand: Demand<'_>,
    stacks: StackCost,
    budget: f64,
    least: Mode,
    windows: f64,
) -> Plan {
    let base = Plan::unlimited(demand.loads.len(), least, windows);
    let of_base = demand.probes_cost(&base);
    let records = [
        (Records::All, demand.records * stacks.record_ns()),
        (Records::Fewer, demand.records * 0.1 * stacks.record_ns()),
        (Records::NoStacks, demand.records * 0.1 * RECORD_NS),
    ];
    for (kind, taken) in records {
        if of_base + taken <= budget {
            return Plan {
                records: kind,
                cost: of_base + taken,
                ..base
            };
        }
    }
    let [_, fewer, _] = records;
    let (kind, taken) = if fewer.1 <= budget * CHEAP {
        fewer
    } else {
        (Records::NoStacks, 0.0)
    };
    // In the same windows as functions, if they have any.
    let mut loads = demand.loads.to_vec();
    loads.push(demand.parking);
    let order = dearest_first(&loads);
    if let Some(mut plan) = windowed(&loads, &order, budget - taken, least) {
        let parking = plan.modes.pop().unwrap_or_default();
        if demand.parking.timed() > 0.0 {
            plan.parking = parking;
        }
        plan.records = kind;
        plan.cost += taken;
        return plan;
    }
    if demand.parking.timed() > 0.0 {
        let without = Demand {
            parking: Load::default(),
            ..demand
        };
        return Plan {
            parking: Mode::Off,
            ..plan(without, stacks, budget, least, windows)
        };
    }
    let (loads, order) = (demand.loads, dearest_first(demand.loads));
    on_duty(loads, &order, budget, least).unwrap_or_else(|| switched_off(loads, &order, budget))
}

fn dearest_first(loads: &[Load]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|&a, &b| loads[b].timed().total_cmp(&loads[a].timed()));
    order
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
            cost: rest,
            ..Plan::default()
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
            cost: rest.max(0.0) + fixed + share * variable,
            ..Plan::default()
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
        ..Plan::default()
    }
}
