//! The collector's part that watches what the probes on Go's scheduler cost.

use std::time::Duration;

use super::Collector;
use crate::{
    collect::{
        budget::{Load, Mode},
        clock,
    },
    probe::{Price, ProbeError, Sample},
};

/// Time that they must have been in place to tell how often they fire, seconds.
const ENOUGH_SECONDS: f64 = 0.1;

/// What the probes on the scheduler take.
#[derive(Debug, Default)]
pub(super) struct ParkingLoad {
    /// While they are in place.
    pub(super) load: Load,
    /// How often they had fired when the load was told last, and seconds that they have been in place since.
    told: u64,
    in_place: f64,
}

impl ParkingLoad {
    /// They have fired so often until another plan came in force.
    pub(super) fn start_over(&mut self, fired: u64) {
        (self.told, self.in_place) = (fired, 0.0);
    }

    fn note(&mut self, fired: u64, cost_ns: u32, in_place: f64) {
        self.in_place += in_place;
        if self.in_place < ENOUGH_SECONDS {
            return;
        }
        self.load = Load {
            rate: (fired - self.told) as f64 / self.in_place,
            price: Price {
                cost_ns,
                ..Price::default()
            },
        };
        (self.told, self.in_place) = (fired, 0.0);
    }
}

impl Collector {
    /// Looks at how often they fired in the last `seconds`, during which those of windows were in place for
    /// `windows`.
    pub(super) fn weigh_parking(
        &mut self,
        seconds: f64,
        windows: Duration,
    ) -> Result<(), ProbeError> {
        let Some(cost_ns) = self.kernel.park_probe_ns() else {
            return Ok(());
        };
        let in_place = match self.budget.current().parking {
            Mode::Full => seconds,
            Mode::Windows | Mode::Duty => windows.as_secs_f64(),
            Mode::Off => 0.0,
        };
        let fired = self.kernel.park_probes()?;
        self.parking.note(fired, cost_ns, in_place);
        Ok(())
    }

    /// Makes what goroutines waited for in calls that are watched all the time stand for the time in which
    /// the scheduler is not, too. In calls that are timed in the same windows all samples do.
    pub(super) fn stand_for_unseen(&self, sample: &mut Sample) {
        let end_ns = clock::unix_of(sample.at_ns.saturating_add(sample.away_ns));
        let before = self.plan_before(end_ns);
        let plan = before.unwrap_or(self.budget.current());
        let in_windows = plan.parking == Mode::Windows
            && self.mode_under(plan, sample.function) == Mode::Full
            && sample.halt.is_some();
        if !in_windows {
            return;
        }
        let so_far = self.pacer.windows_factor().filter(|_| before.is_none());
        let factor = so_far.unwrap_or_else(|| plan.rarity(plan.parking));
        sample.weight_ns = (sample.weight_ns as f64 * factor) as u64;
        sample.runnable_ns = (sample.runnable_ns as f64 * factor) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_while_they_are_in_place() {
        let mut parking = ParkingLoad::default();
        parking.note(1_000, 2_000, 0.5);
        assert!((parking.load.rate - 2_000.0).abs() < 1e-9);
        // Too short to tell.
        parking.note(1_100, 2_000, 0.0);
        parking.note(1_400, 2_000, 0.05);
        assert!((parking.load.rate - 2_000.0).abs() < 1e-9);
        parking.note(1_600, 2_000, 0.05);
        assert!((parking.load.rate - 6_000.0).abs() < 1e-6, "{parking:?}");
        assert_eq!(parking.load.price.cost_ns, 2_000);
    }
}
