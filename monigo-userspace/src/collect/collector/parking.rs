//! The collector's part that watches what the probes on Go's scheduler cost.

use super::Collector;
use crate::{export::format, probe::ProbeError};

/// Share of the budget that probes on the scheduler may take in any case: they fire for every goroutine, inside
/// traced functions or not.
const MOST: f64 = 0.5;
/// Share of the budget that they may fill up, where the traced functions leave so much.
const FILL: f64 = 0.9;

/// What the probes on the scheduler take.
#[derive(Debug, Default)]
pub(super) struct ParkingLoad {
    /// How often they had fired at the last look.
    fired: u64,
    /// ns per second.
    pub(super) ns: f64,
}

impl Collector {
    /// Looks at what they took in the last `seconds`, and takes them away if it is too much.
    pub(super) fn weigh_parking(&mut self, seconds: f64) -> Result<(), ProbeError> {
        if !self.kernel.watches_parking() {
            return Ok(());
        }
        let fired = self.kernel.park_probes()?;
        let functions_ns = self.cost().share_of_cpu * 1e9 - self.parking.ns;
        let rate = (fired - self.parking.fired) as f64 / seconds;
        self.parking.fired = fired;
        self.parking.ns = rate * f64::from(self.kernel.park_probe_ns());
        let allowed = self.budget.allowed_ns(self.alive.len());
        if allowed.is_some_and(|allowed| self.parking.ns > most_ns(allowed, functions_ns)) {
            self.kernel.unwatch_parking();
            self.notify(format!(
                "what goroutines wait for is not recorded any more, and shows as unattributed: the probes on Go's scheduler took {} of one CPU; a larger --max-overhead keeps them",
                format::percent(self.parking.ns / 1e9)
            ));
            self.parking.ns = 0.0;
        }
        self.budget.set_apart(self.parking.ns);
        Ok(())
    }
}

/// What they may take of `allowed` ns per second, when what belongs to functions takes `functions_ns`.
fn most_ns(allowed: f64, functions_ns: f64) -> f64 {
    (allowed * MOST).max(allowed * FILL - functions_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_half_or_what_functions_leave() {
        assert!((most_ns(100.0, 90.0) - 50.0).abs() < 1e-9);
        assert!((most_ns(100.0, 30.0) - 60.0).abs() < 1e-9);
        assert!((most_ns(100.0, 0.0) - 90.0).abs() < 1e-9);
    }
}
