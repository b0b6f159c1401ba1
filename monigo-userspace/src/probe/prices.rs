//! What probes cost, by their kind.

use monigo_common::{config::Costs, cookie::CLASSES};

use super::{Parking, PlannedFunction};
use crate::{plan::FunctionPlan, store::ExitProbe};

/// What the probes of one call of a function do to it, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Time that they take from the target.
    pub cost_ns: u32,
    /// Part of it that lies inside the measured duration, and is subtracted.
    pub bias_ns: u32,
    /// A duration below this cannot be told from none.
    pub floor_ns: u32,
    /// Time that the entry probe takes when calls are only counted.
    pub count_ns: u32,
}

/// Prices by the class of the entry site and of the exit site. Zeros when not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    pub(super) prices: [[Price; CLASSES]; CLASSES],
}

impl Calibration {
    /// For the kernel side.
    pub fn costs(&self) -> Costs {
        Costs {
            bias_ns: self.prices.map(|row| row.map(|price| price.bias_ns)),
            cost_ns: self.prices.map(|row| row.map(|price| price.cost_ns)),
        }
    }

    /// Of a probe on Go's scheduler, on average: to be parked and to run again fires one of each.
    pub(super) fn price_of_parking(&self, parking: &Parking) -> u32 {
        let from = parking.park.entry.cost as usize;
        let ends = parking.park.exits.iter().map(|site| site.cost as usize);
        let passage = ends.map(|to| self.prices[from][to].cost_ns).max();
        let execute = parking.turns.as_ref().map(|turns| &turns.execute);
        let others = parking.ready.iter().chain(execute);
        // Prices are those of two probes.
        let entry = |plan: &FunctionPlan| {
            let class = plan.entry.cost as usize;
            self.prices[class][class].cost_ns / 2
        };
        let (sum, probes) = others.fold((passage.unwrap_or(0), 2), |(sum, probes), plan| {
            (sum + entry(plan), probes + 1)
        });
        sum / probes
    }

    /// Of one call of `function`, by its dearest way.
    pub fn price(&self, function: &PlannedFunction) -> Price {
        let mut dearest = Price::default();
        for plan in &function.plans {
            let from = plan.entry.cost as usize;
            let ends: Vec<usize> = match function.exit {
                ExitProbe::Ret => plan.exits.iter().map(|site| site.cost as usize).collect(),
                ExitProbe::Uretprobe => {
                    vec![usize::from(monigo_common::cookie::CLASS_RETURN_PROBE)]
                }
            };
            let count_ns = dearest.count_ns.max(self.prices[from][0].count_ns);
            if ends.is_empty() && plan.has_end() {
                // Prices are those of two probes.
                let cost_ns = self.prices[from][from].cost_ns / 2;
                dearest.cost_ns = dearest.cost_ns.max(cost_ns);
            }
            for to in ends {
                let price = self.prices[from][to];
                if price.cost_ns > dearest.cost_ns {
                    dearest = price;
                }
            }
            // A function that never returns has its entry probe alone.
            dearest.count_ns = count_ns;
            dearest.cost_ns = dearest.cost_ns.max(count_ns);
        }
        dearest
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::Turns, *};
    use crate::plan::{CostClass, Site, SiteKind};

    fn plan(exit: Option<CostClass>) -> FunctionPlan {
        let site = |kind, cost| Site {
            address: 0,
            file_offset: 0,
            kind,
            cost,
        };
        FunctionPlan {
            entry: site(SiteKind::Entry, CostClass::Emulated),
            exits: exit
                .map(|cost| site(SiteKind::Return, cost))
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn cheap_probes_on_the_scheduler_count_as_such() {
        let mut calibration = Calibration::default();
        let cheap = CostClass::Emulated as usize;
        calibration.prices[cheap][cheap].cost_ns = 1_000;
        calibration.prices[cheap][CostClass::SingleStep as usize].cost_ns = 6_500;
        let mut parking = Parking {
            image: Path::new("").into(),
            park: plan(Some(CostClass::SingleStep)),
            ready: None,
            turns: None,
        };
        assert_eq!(calibration.price_of_parking(&parking), 3_250);
        parking.ready = Some(plan(None));
        parking.turns = Some(Turns {
            give_way: vec![plan(None); 3],
            execute: plan(None),
        });
        assert_eq!(calibration.price_of_parking(&parking), 1_875);
    }
}
