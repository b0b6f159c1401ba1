//! The collector's part that watches what the probes on Go's scheduler cost.

use super::Collector;
use crate::{export::format, probe::ProbeError};

/// Share of the budget that probes on the scheduler may take: they fire for every goroutine, inside
/// traced functions or not.
const MOST: f64 = 0.5;

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
        let rate = (fired - self.parking.fired) as f64 / seconds;
        self.parking.fired = fired;
        self.parking.ns = rate * f64::from(self.kernel.park_probe_ns());
        let allowed = self.budget.allowed_ns(self.alive.len());
        if allowed.is_some_and(|allowed| self.parking.ns > allowed * MOST) {
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
